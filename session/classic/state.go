package classic

import "fmt"

// state is where a request stands (spec 09 sections 8 and 11). The tables there:
//
//	START              starting
//	TRY                building (the limit, the slot, procedure S), sending, awaiting (procedure V)
//	CLASSIFY           recovering: an error header
//	                   continuing: we sent a handshake, so the data is still to go
//	                   replying: peer to peer, the answer asks for tokens (11, step 5)
//	DONE               done, failed
type state uint8

const (
	starting state = iota
	building
	sending
	awaiting
	recovering
	continuing
	replying
	done
	failed
	states // how many there are
)

// event is what happens to a request.
type event uint8

const (
	chosen   event = iota // the next message has its ID and tokens
	built                 // it is sealed
	sent                  // it is on its way, an answer is to be read
	sentLast              // it is on its way, no answer is to be read
	answered              // the answer is for the application
	refused               // the answer is an error header
	shaken                // the answer is to our handshake
	asked                 // peer to peer: the answer asks for tokens
	gaveUp                // a failure, the limit, or no recovery
	events
)

// transitions is the whole machine; what is not in it cannot happen.
var transitions = map[state]map[event]state{
	starting:   {chosen: building, gaveUp: failed},
	building:   {built: sending, gaveUp: failed},
	sending:    {sent: awaiting, sentLast: done, gaveUp: failed},
	awaiting:   {answered: done, refused: recovering, shaken: continuing, asked: replying, gaveUp: failed},
	recovering: {chosen: building, gaveUp: failed},
	continuing: {chosen: building, gaveUp: failed},
	replying:   {chosen: building, gaveUp: failed},
}

// after is the transition function.
func (s state) after(e event) state {
	next, ok := transitions[s][e]
	if !ok {
		panic(fmt.Sprintf("classic: event %d in state %d", e, s))
	}
	return next
}

// final says that nothing more happens.
func (s state) final() bool { return s == done || s == failed }
