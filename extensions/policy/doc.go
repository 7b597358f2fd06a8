// Package policy is the contract between a native subsystem and the policies
// that steer it: what is asked (Request), what may be answered (Decision),
// how it ended (Response), and who is asked (Policy, Chain, Slot).
//
// It is a leaf: it imports the standard library only and knows neither the
// engines that run guest code nor the subsystems that ask. Everything in it is
// a plain value or a small interface, so that an HTTP engine, a simulator and a
// test can all ask the same question.
//
// Times are int64 nanoseconds since the Unix epoch, handed down by the caller;
// nothing here reads a clock.
//
// It is not a rate limiter (extensions/limit) and does not queue, wait or retry
// (subsystems/admission).
package policy
