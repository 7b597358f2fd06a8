package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/work"
	"github.com/spf13/cobra"
)

// newProcessRun is `gaia process run`: the output of the process is its own, and so
// is whether it went well.
func newProcessRun(e env) *cobra.Command {
	v := newAction(e, policy.SubsystemProcess, actionNamed(policy.SubsystemProcess, "run"))
	v.print = func(res *http.Response, p *progress) error {
		var end ending
		p.end() // what the process says is on the terminal
		err := eachLine(res.Body, p, func(line []byte) error {
			if v.o.format == "json" {
				fmt.Fprintf(e.out, "%s\n", line)
			}
			return end.take(line, e, v.o.format != "json")
		})
		if err != nil {
			return err
		}
		return end.result(e.err)
	}
	cmd := v.command()
	cmd.Example = "  gaia process run -- make -j2 all"
	return cmd
}

// actionNamed finds a declaration that is known to be there.
func actionNamed(subsystem, name string) work.Action {
	for _, sub := range work.Catalog() {
		for _, a := range sub.Actions {
			if sub.Name == subsystem && a.Name == name {
				return a
			}
		}
	}
	panic("no action " + subsystem + "/" + name)
}

// ending remembers how the process ended.
type ending struct {
	seen, ok bool
	text     string
}

// take prints a piece of output, or keeps the end.
func (d *ending) take(line []byte, e env, show bool) error {
	var piece struct {
		Stream string `json:"stream"`
		Text   string `json:"text"`
		Base64 []byte `json:"base64"`
		End    *struct {
			Exit struct {
				Reason string `json:"reason"`
				Code   int    `json:"code"`
				Text   string `json:"text"`
			} `json:"exit"`
		} `json:"end"`
	}
	if err := json.Unmarshal(line, &piece); err != nil {
		return err
	}
	if end := piece.End; end != nil {
		d.seen, d.ok, d.text = true, end.Exit.Reason == "exit" && end.Exit.Code == 0, end.Exit.Text
		return nil
	}
	if !show {
		return nil
	}
	to := e.out
	if piece.Stream == "stderr" {
		to = e.err
	}
	_, err := to.Write(append(piece.Base64, piece.Text...))
	return err
}

// result is the command's: 1 for a process that did not end well.
func (d *ending) result(w io.Writer) error {
	switch {
	case !d.seen:
		return cut(io.ErrUnexpectedEOF)
	case !d.ok:
		fmt.Fprintln(w, "the process ended: "+d.text)
		return silent(exitFailure)
	}
	return nil
}
