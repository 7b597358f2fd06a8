package work

// schemaActions is the schema of the list of actions.
const schemaActions = "gaia.actions/v1"

// listing is the answer of GET /v1/SUBSYSTEM.
type listing struct {
	Schema    string          `json:"schema"`
	Subsystem string          `json:"subsystem"`
	Doc       string          `json:"doc"`
	Actions   []listingAction `json:"actions"`
}

type listingAction struct {
	Name       string  `json:"name"`
	Doc        string  `json:"doc"`
	Gives      Gives   `json:"gives"`
	TakesBytes bool    `json:"takes_bytes,omitempty"`
	Follows    bool    `json:"follows,omitempty"`
	Fields     []Field `json:"fields"`
}

func (s *Subsystem) list() listing {
	l := listing{Schema: schemaActions, Subsystem: s.Name, Doc: s.Doc}
	for i := range s.Actions {
		a := &s.Actions[i]
		l.Actions = append(l.Actions, listingAction{a.Name, a.Doc, a.Gives, a.takesBytes, a.follows, a.Fields()})
	}
	return l
}
