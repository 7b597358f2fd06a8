package main

import (
	"io"
	"log/slog"

	"github.com/gaia-host/gaia/host/config"
)

// newLogger logs text on a terminal and JSON elsewhere, unless told otherwise. The
// level can be changed later.
func newLogger(w io.Writer, c config.Log) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	setLevel(level, c)
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" || c.Format == "auto" && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, o)), level
	}
	return slog.New(slog.NewTextHandler(w, o)), level
}

func setLevel(v *slog.LevelVar, c config.Log) {
	var l slog.Level
	if l.UnmarshalText([]byte(c.Level)) == nil {
		v.Set(l)
	}
}
