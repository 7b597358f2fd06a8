package wasm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// schema is a compiled JSON schema of a policy's parameters.
type schema struct{ compiled *jsonschema.Schema }

// noFetch refuses what a schema refers to beyond itself: a module must not make its host read files or addresses.
type noFetch struct{}

func (noFetch) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema refers to itself only, not to %.200s", url)
}

// compileSchema reads a JSON schema (draft 2020-12 unless it says otherwise).
func compileSchema(data []byte) (*schema, error) {
	const name = "params.json"
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	if _, ok := doc.(map[string]any); !ok {
		return nil, errors.New(`want a JSON schema, as {"type": "object", "properties": {...}}`)
	}
	if refers(doc) {
		return nil, errors.New("a schema of parameters is written in one piece, without $ref") // schemas that refer can take for ever to check
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noFetch{})
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("it is no JSON schema: %s", schemaFault(err, ""))
	}
	return &schema{compiled}, nil
}

// refers reports whether a schema refers to another.
func refers(doc any) bool {
	switch v := doc.(type) {
	case map[string]any:
		for key, inner := range v {
			if key == "$ref" || key == "$dynamicRef" || key == "$recursiveRef" || refers(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, refers)
	}
	return false
}

// check holds parameters, as JSON, to the schema. A nil schema takes any.
func (s *schema) check(params []byte) error {
	if s == nil {
		return nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(params))
	if err != nil {
		return fmt.Errorf("params: %w", err)
	}
	if err := s.compiled.Validate(doc); err != nil {
		return refuse("the policy says what it takes: gaia policy inspect", "%s", schemaFault(err, "params"))
	}
	return nil
}

// schemaFault tells the first thing that is wrong, below root.
func schemaFault(err error, root string) string {
	var fault *jsonschema.ValidationError
	if bad := new(jsonschema.SchemaValidationError); errors.As(err, &bad) {
		err = bad.Err
	}
	if !errors.As(err, &fault) {
		return err.Error()
	}
	for len(fault.Causes) > 0 {
		fault = fault.Causes[0]
	}
	at := strings.TrimPrefix(strings.Join(append([]string{root}, fault.InstanceLocation...), "."), ".")
	text := fault.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	if missing, ok := fault.ErrorKind.(*kind.Required); ok {
		text = "lacks " + strings.Join(missing.Missing, ", ")
	}
	if at == "" {
		return text
	}
	return at + ": " + text
}

// CheckParams holds parameters to the schema of the manifest; one without a schema takes any.
func (m *Manifest) CheckParams(params map[string]any) error {
	if params == nil {
		params = map[string]any{}
	}
	data, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("params: %w", err)
	}
	return m.params.check(data)
}
