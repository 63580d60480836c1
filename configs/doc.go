// Package configs turns the bytes of a tandem.toml into a valid Config.
//
// The file is the same on both directors, and it is read strictly: an unknown
// key, a value of the wrong type or a combination that could not work is an
// error. Parse reports every error of a file at once, each with its line, its
// key and a remedy, so that a file is corrected in one go. What is legal but
// risky comes from Config.Warnings.
//
// Reading has four steps. scan.go finds the line of every key, which the TOML
// library does not tell. reader.go and values.go take values out of the decoded
// tree and record what is wrong with them. sections.go, services.go, track.go
// and hook.go know the tables and their keys. check.go knows what must hold
// between them.
//
// The package is pure: reading the file is the caller's job.
package configs
