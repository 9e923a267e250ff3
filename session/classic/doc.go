// Package classic is the behaviour of classic MSL: who sends what, when, under
// which tokens, and how failures are repaired. It is made to be read beside spec
// 09, and its files follow the chapter:
//
//	request.go   section 1       request and send
//	party.go     3               state and configuration
//	message.go   4               what the application states about a message
//	tokens.go    5.1, 5.2, 5.3   choosing tokens, when the renewal slot is held
//	slot.go      5.2             the renewal slot
//	build.go     5.4, 5.5        procedure S, and when an answer is read
//	clock.go     6               the remote clock
//	receive.go   7               procedure V
//	state.go     8, 11           the states of a request, and their one transition function
//	exchange.go  8, 11           what is done in each state
//	recovery.go  12, spec 08 1   what each response code asks for
//	respond.go   9, 10           receive, respond, push and error
//	tokenset.go  13              service tokens
//	body.go      15              data on its way out, kept for retries
//	conn.go      1, 15           what a message travels on
//
// A [Party] is one side towards one remote. A client calls [Party.Request], a
// server [Party.Accept] and [Incoming.Respond]; two equals do both over a [Conn]
// that they share.
//
// The locks of section 3.2 that keep a master token alive while it is in use are
// not needed: whoever sends under a token has its keys, and finds them also when
// the store has forgotten it.
package classic
