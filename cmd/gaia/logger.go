package main

import (
	"io"
	"log"
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

// divertStandardLog sends what libraries print through the standard logger to l, at
// debug, until restore is called: net/http's transport has no logger of its own, and
// would write "Unsolicited response received on idle HTTP channel" between the lines of
// JSON.
func divertStandardLog(l *slog.Logger) (restore func()) {
	out, flags := log.Writer(), log.Flags()
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(l.Handler(), slog.LevelDebug).Writer())
	return func() {
		log.SetOutput(out)
		log.SetFlags(flags)
	}
}

func setLevel(v *slog.LevelVar, c config.Log) {
	var l slog.Level
	if l.UnmarshalText([]byte(c.Level)) == nil {
		v.Set(l)
	}
}
