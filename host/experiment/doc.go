// Package experiment compares rate-limiting strategies in virtual time: it runs the
// production admission, limiters and policies over synthetic or recorded traffic, with
// many seeds, and says how sure the differences are.
//
// A Spec says what is compared; Run gives a Result, which depends on nothing but the
// Spec and the policies that it names. Reading scripts, printing tables and writing
// reports are packages of their own, below this one.
package experiment
