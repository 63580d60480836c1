// Package healthcheck judges servers by the results of probes.
//
// It is pure: it opens no socket, starts no goroutine and reads no clock. A
// Target says what to probe and how, a Result says what one probe found, and a
// Machine turns the Results of one Target into a Verdict. Package
// healthcheck/probe makes the probes and package healthcheck/runner schedules
// them.
package healthcheck
