package link

// state is where a Link stands. The transition function is [state.next]; what
// a transition brings about stands in [Link.do].
type state uint8

const (
	idle      state = iota // no connection yet
	running                // records flow
	closing                // own CLOSE waits or is under way, nothing of the peer's
	answering              // the peer's CLOSE is here, own waits or is under way
	closed                 // no connection any more
)

func (s state) String() string {
	return [...]string{"idle", "running", "closing", "answering", "closed"}[s]
}

type event uint8

const (
	attached   event = iota // a connection is there
	broken                  // the connection failed, or a record did not open
	shut                    // closed by this side, or a violation by the peer
	peerClosed              // CLOSE received
	finished                // both CLOSE and both ACK are through
	expired                 // the other side does not finish
	aborted                 // closed by this side without a word
	events                  // how many there are
)

func (e event) String() string {
	return [...]string{"attached", "broken", "shut", "peerClosed", "finished", "expired", "aborted"}[e]
}

// next is the state after e. Events that mean nothing in a state leave it.
func (s state) next(e event) state {
	switch s {
	case idle:
		switch e {
		case attached:
			return running
		case shut, aborted:
			return closed
		}
	case running:
		switch e {
		case broken, aborted:
			return closed
		case shut:
			return closing
		case peerClosed:
			return answering
		}
	case closing:
		switch e {
		case broken, expired, aborted:
			return closed
		case peerClosed:
			return answering
		}
	case answering:
		switch e {
		case broken, expired, aborted, finished:
			return closed
		}
	}
	return s
}
