package work

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/files"
)

const (
	schemaFilesEntry = "gaia.files.entry/v1"
	schemaFilesDone  = "gaia.files.done/v1"
)

// fileWork are the actions of the files subsystem.
type fileWork struct{ m *files.Manager }

// Files declares what can be asked of the files subsystem. A nil m declares it.
func Files(m *files.Manager) Subsystem {
	w := fileWork{m}
	return Subsystem{
		Name: policy.SubsystemFiles, Doc: "files in the roots of the configuration",
		Actions: []Action{
			Lines("roots", "list the roots, what they hold and may hold", w.roots),
			Bytes("read", "give a file, or a part of it", w.read).Asking(),
			JSON("write", "make a file hold what comes in, whole or not at all", w.write).TakingBytes().FromInput("data").Asking(),
			JSON("append", "make a file end with what comes in, whole or not at all", w.append).TakingBytes().FromInput("data").Asking(),
			JSON("copy", "copy a file", w.copy).Asking(),
			JSON("move", "move a file or folder", w.move).Asking(),
			JSON("remove", "remove a file or folder", w.remove).Asking(),
			JSON("mkdir", "make a folder", w.mkdir).Asking(),
			JSON("stat", "describe a file or folder", w.stat).Asking(),
			Lines("list", "list a folder", w.list).Asking(),
			Lines("walk", "list a folder and all below it", w.walk).Asking(),
			Lines("glob", "list what fits a pattern, such as **/*.json", w.glob).Asking(),
			Bytes("json", "give a JSON file once it is known to be one", w.json).Asking(),
			Bytes("xml", "give an XML file as JSON: name, attrs, text, children", w.xml).Asking(),
			Lines("batch", "do several operations, each for itself", w.batch),
			Lines("watch", "tell of changes in a folder", w.watch).Following(),
		},
		Explain: explainFiles,
	}
}

// explainFiles turns an error of the manager into an answer.
func explainFiles(err error) *Error {
	var e *files.Error
	if !errors.As(err, &e) && !errors.Is(err, files.ErrTooLarge) {
		return nil
	}
	out := &Error{Code: CodeFailed, Title: "it failed", Detail: err.Error(), Err: err}
	switch out.Status = files.Status(err); out.Status {
	case http.StatusBadRequest:
		out.Code, out.Title = CodeBadRequest, ""
	case http.StatusForbidden:
		out.Code, out.Title = CodeRefused, ""
	case http.StatusNotFound:
		out.Code, out.Title = CodeNotFound, ""
		if errors.Is(err, files.ErrRoot) {
			out.Hint = "`gaia files roots` lists them; they stand in the configuration under files.roots"
		} else if errors.Is(err, fs.ErrNotExist) && (e.Action == "write" || e.Action == "append" || e.Action == "copy" || e.Action == "move") {
			out.Hint = "a folder above it may be missing: \"parents\" makes it"
		}
	case http.StatusConflict:
		out.Code, out.Title = CodeConflict, ""
	case http.StatusRequestEntityTooLarge:
		out.Code, out.Title = CodeTooLarge, ""
	case http.StatusUnprocessableEntity:
		out.Title = "the file cannot be parsed"
	case http.StatusInsufficientStorage:
		out.Title, out.Hint = "there is no room", "remove files, or raise files.roots.NAME.quota"
	case http.StatusInternalServerError:
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
	}
	return out
}

// fileInput names a file or folder.
type fileInput struct {
	File string `json:"file" arg:"yes" need:"yes" doc:"ROOT:PATH"`
}

func refOf(field, text string) (files.Ref, error) {
	root, path, ok := strings.Cut(text, ":")
	if !ok {
		return files.Ref{}, BadInput(field, "want ROOT:PATH such as data:reports/a.json, got %.80q", text)
	}
	return files.Ref{Root: root, Path: path}, nil
}

// options are those that every action has.
func options(c *Call) files.Options {
	return files.Options{Tenant: c.Tenant, Priority: c.Priority, HasPriority: c.HasPriority, Cost: c.Cost, Timeout: c.Timeout, Outcome: &admission.Outcome{}}
}

// held says in the answer how long it waited.
func held(c *Call, o *files.Options) { c.Held(o.Outcome) }

// entry is a file or folder in an answer.
type entry struct {
	Schema   string `json:"schema,omitempty"`
	Path     string `json:"path"`
	Kind     string `json:"kind"`
	Size     int64  `json:"size"`
	Mode     string `json:"mode"`
	Modified string `json:"modified"`
	Root     string `json:"root,omitempty"` // where a policy sent it
}

func entryOf(e files.Entry) entry {
	return entry{Path: e.Path, Kind: e.Kind, Size: e.Size, Mode: "0" + strconv.FormatUint(uint64(e.Mode.Perm()), 8), Modified: e.Modified.UTC().Format(time.RFC3339Nano)}
}

// answer is an entry as the whole answer.
func answer(c *Call, e files.Entry, o *files.Options, err error) (entry, error) {
	held(c, o)
	out := entryOf(e)
	out.Schema, out.Root = schemaFilesEntry, o.Outcome.Upstream
	return out, err
}

// rootAnswer is a line of roots.
type rootAnswer struct {
	Root       string `json:"root"`
	Bytes      *int64 `json:"bytes,omitempty"` // where it is counted
	Files      *int64 `json:"files,omitempty"`
	Quota      int64  `json:"quota,omitempty"`
	QuotaFiles int64  `json:"quota_files,omitempty"`
	Free       int64  `json:"free"`
	ReadOnly   bool   `json:"read_only"`
	Trouble    string `json:"trouble,omitempty"`
}

func (w fileWork) roots(_ context.Context, _ *Call, _ *struct{}, out *Out) error {
	for _, u := range w.m.Usage() {
		a := rootAnswer{Root: u.Root, Quota: u.Quota, QuotaFiles: u.QuotaFiles, Free: u.Free, ReadOnly: u.ReadOnly, Trouble: u.Trouble}
		if u.Counted {
			a.Bytes, a.Files = &u.Bytes, &u.Files
		}
		if err := out.Line(a); err != nil {
			return err
		}
	}
	return out.Start()
}

type readInput struct {
	File   string `json:"file" arg:"yes" need:"yes" doc:"ROOT:PATH"`
	Offset Size   `json:"offset" doc:"where to begin"`
	Length Size   `json:"length" doc:"how much; to the end unless told"`
}

func (w fileWork) read(ctx context.Context, c *Call, in *readInput, out *Out) error {
	ref, err := refOf("file", in.File)
	if err != nil {
		return err
	}
	o := options(c)
	o.Offset, o.Length = int64(in.Offset), int64(in.Length)
	r, err := w.m.Open(ctx, ref, o)
	held(c, &o)
	if err != nil {
		return err
	}
	defer r.Close()
	h := out.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.FormatInt(r.Size(), 10))
	h.Set("Last-Modified", r.Info().Modified.UTC().Format(http.TimeFormat))
	if err := out.Start(); err != nil {
		return err
	}
	n, err := out.Copy(r)
	if err == nil && n < r.Size() {
		err = io.ErrUnexpectedEOF // it shrank: the caller must not take a part for the whole
	}
	return err
}

// writeInput shapes a write.
type writeInput struct {
	File       string `json:"file" arg:"yes" need:"yes" doc:"ROOT:PATH"`
	Data       string `json:"data" doc:"text to write, in place of bytes"`
	Durability string `json:"durability" one:"none rename file full" doc:"how much is forced to the disk; the root's unless told"`
	Exclusive  bool   `json:"exclusive" doc:"fail where the file exists"`
	Parents    bool   `json:"parents" doc:"make the folders above it"`
}

func (w fileWork) write(ctx context.Context, c *Call, in *writeInput) (entry, error) {
	return w.put(ctx, c, in, w.m.Write)
}

func (w fileWork) append(ctx context.Context, c *Call, in *writeInput) (entry, error) {
	return w.put(ctx, c, in, w.m.Append)
}

func (w fileWork) put(ctx context.Context, c *Call, in *writeInput, do func(context.Context, files.Ref, io.Reader, files.Options) (files.Entry, error)) (entry, error) {
	ref, err := refOf("file", in.File)
	if err != nil {
		return entry{}, err
	}
	o, err := writeOptions(c, in.Durability, in.Exclusive, in.Parents)
	if err != nil {
		return entry{}, err
	}
	var src io.Reader = strings.NewReader(in.Data)
	o.Size = int64(len(in.Data))
	if c.Body != nil {
		if in.Data != "" {
			return entry{}, BadInput("data", "given twice: in the input and as bytes")
		}
		src, o.Size = c.Body, max(c.Size, 0)
	}
	e, err := do(ctx, ref, src, o)
	return answer(c, e, &o, err)
}

func writeOptions(c *Call, durability string, exclusive, parents bool) (files.Options, error) {
	o := options(c)
	level, err := files.ParseDurability(durability)
	if err != nil {
		return o, BadInput("durability", "%v", err)
	}
	o.Durability, o.Exclusive, o.Parents = level, exclusive, parents
	return o, nil
}

// toInput is from one file to another.
type toInput struct {
	File       string `json:"file" arg:"yes" need:"yes" doc:"ROOT:PATH to take"`
	To         string `json:"to" arg:"yes" need:"yes" doc:"ROOT:PATH to make"`
	Durability string `json:"durability" one:"none rename file full" doc:"how much is forced to the disk; the root's unless told"`
	Exclusive  bool   `json:"exclusive" doc:"fail where the target exists"`
	Parents    bool   `json:"parents" doc:"make the folders above the target"`
}

func (w fileWork) copy(ctx context.Context, c *Call, in *toInput) (entry, error) {
	return w.fromTo(ctx, c, in, w.m.Copy)
}

func (w fileWork) move(ctx context.Context, c *Call, in *toInput) (entry, error) {
	return w.fromTo(ctx, c, in, w.m.Move)
}

func (w fileWork) fromTo(ctx context.Context, c *Call, in *toInput, do func(ctx context.Context, from, to files.Ref, o files.Options) (files.Entry, error)) (entry, error) {
	from, err := refOf("file", in.File)
	if err != nil {
		return entry{}, err
	}
	to, err := refOf("to", in.To)
	if err != nil {
		return entry{}, err
	}
	o, err := writeOptions(c, in.Durability, in.Exclusive, in.Parents)
	if err != nil {
		return entry{}, err
	}
	e, err := do(ctx, from, to, o)
	return answer(c, e, &o, err)
}

// doneAnswer says what was done.
type doneAnswer struct {
	Schema string `json:"schema"`
	Done   string `json:"done"`
	Path   string `json:"path"`
}

type removeInput struct {
	File      string `json:"file" arg:"yes" need:"yes" doc:"ROOT:PATH"`
	Recursive bool   `json:"recursive" doc:"a folder with all in it"`
}

func (w fileWork) remove(ctx context.Context, c *Call, in *removeInput) (doneAnswer, error) {
	ref, err := refOf("file", in.File)
	if err != nil {
		return doneAnswer{}, err
	}
	o := options(c)
	o.Recursive = in.Recursive
	err = w.m.Remove(ctx, ref, o)
	held(c, &o)
	return doneAnswer{schemaFilesDone, "removed", ref.Path}, err
}

type mkdirInput struct {
	File    string `json:"file" arg:"yes" need:"yes" doc:"ROOT:PATH"`
	Parents bool   `json:"parents" doc:"make the folders above it, and let it exist"`
}

func (w fileWork) mkdir(ctx context.Context, c *Call, in *mkdirInput) (doneAnswer, error) {
	ref, err := refOf("file", in.File)
	if err != nil {
		return doneAnswer{}, err
	}
	o := options(c)
	o.Parents = in.Parents
	err = w.m.Mkdir(ctx, ref, o)
	held(c, &o)
	return doneAnswer{schemaFilesDone, "made", ref.Path}, err
}

func (w fileWork) stat(ctx context.Context, c *Call, in *fileInput) (entry, error) {
	ref, err := refOf("file", in.File)
	if err != nil {
		return entry{}, err
	}
	o := options(c)
	e, err := w.m.Stat(ctx, ref, o)
	return answer(c, e, &o, err)
}

func (w fileWork) json(ctx context.Context, c *Call, in *fileInput, out *Out) error {
	ref, err := refOf("file", in.File)
	if err != nil {
		return err
	}
	o := options(c)
	data, err := w.m.JSON(ctx, ref, nil, o)
	held(c, &o)
	if err != nil {
		return err
	}
	return document(out, data)
}

func (w fileWork) xml(ctx context.Context, c *Call, in *fileInput, out *Out) error {
	ref, err := refOf("file", in.File)
	if err != nil {
		return err
	}
	o := options(c)
	n, err := w.m.XML(ctx, ref, o)
	held(c, &o)
	if err != nil {
		return err
	}
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return document(out, data)
}

func document(out *Out, data []byte) error {
	h := out.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if !bytes.HasSuffix(data, []byte("\n")) {
		data = append(data, '\n')
	}
	_, err := out.Write(data)
	return err
}
