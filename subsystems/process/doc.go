// Package process starts and supervises child processes for others, under policy:
// every start is admitted by subsystems/admission, as the subsystem "process", the
// action "start" and the program's name as the key.
//
// Manager.Launch holds a start until it may go and returns a Process. Its Done
// channel closes when it has ended for good: no restart follows, every process
// that it left behind is gone, its output is complete and its slot is free. The
// context of Launch bounds the way to the start and not the life.
//
//	p, err := m.Launch(ctx, process.Spec{Args: []string{"make", "all"}, Timeout: time.Hour})
//	if err != nil { ... }             // *admission.DeniedError, *process.StartError, or ctx's
//	<-p.Done()
//	exit := p.Exit()                  // code, signal, reason, rusage
//	tail := p.Tail(process.Stdout, 4096)
//
// A program that speaks over pipes, such as a browser, gets them as ExtraFiles:
//
//	p, err := m.Launch(ctx, process.Spec{
//		Args: argv, ExtraFiles: []*os.File{childReads, childWrites}, // 3 and 4 in the child
//		Output: process.Output{Ring: 64 << 10},
//	})
//	...
//	err = p.Kill(ctx) // the whole tree, gone when it returns nil
//
// What belongs to a process is found by its process group, by the parents that
// /proc names, by a mark in the environment and, where it has one, by its cgroup.
// On Linux gaia makes itself the reaper of its descendants (Config.Reaper), so that
// one that leaves its group and its parent is still found and no zombie stays.
//
// The package is not a shell, schedules nothing and keeps nothing over a restart
// of gaia: what it started ends with it.
package process
