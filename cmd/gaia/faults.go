package main

import (
	"errors"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/config"
)

// faultsOf lists what is wrong, one entry each.
func faultsOf(err error) []fault {
	var many config.Faults
	if errors.As(err, &many) {
		list := make([]fault, 0, len(many))
		for _, f := range many {
			list = append(list, fault{File: f.File, Line: f.Line, Col: f.Col, Key: f.Key, Message: f.Message, Hint: f.Suggestion})
		}
		return list
	}
	var list []fault
	for _, one := range flatten(err) {
		var load *policy.LoadError
		if errors.As(one, &load) {
			list = append(list, fault{File: load.File, Line: load.Line, Col: load.Col, Message: load.Message, Hint: load.Hint})
			continue
		}
		var lock *host.LockError
		if errors.As(one, &lock) {
			for _, line := range lock.Lines {
				list = append(list, fault{File: lock.File, Message: line, Hint: lock.Hint()})
			}
			continue
		}
		list = append(list, fault{Message: one.Error()})
	}
	return list
}
