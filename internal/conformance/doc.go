// Package conformance runs interoperability vectors against this
// implementation: files of what another one wrote, and of what it refused.
//
//	go test ./internal/conformance -v -vectors DIR
//
// DIR is relative to the module's root; without it the package's own copy is
// run. The files may hold more cases of the same form. For every list one line
// says how many cases were run, how many passed, and how many cannot be run
// yet, with the reason; a file or list that nobody knows is an error, so that
// nothing is passed over in silence. A conversation is also replayed: our server
// answers its client and our client its server, and what they write is compared
// with what was recorded, message by message.
package conformance
