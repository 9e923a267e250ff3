package link

// state is where a Link stands. The transition function is [state.next]; what
// a transition brings about stands in [Link.do].
type state uint8

const (
	idle      state = iota // no connection yet
	running                // records flow
	lost                   // the connection is gone, another may come
	closing                // own CLOSE waits or is under way, nothing of the peer's
	parting                // like closing, and the connection is gone
	answering              // the peer's CLOSE is here, own waits or is under way
	closed                 // no connection any more, and none will come
)

func (s state) String() string {
	return [...]string{"idle", "running", "lost", "closing", "parting", "answering", "closed"}[s]
}

// connected says whether there is a connection to write to.
func (s state) connected() bool { return s == running || s == closing || s == answering }

// detached says whether another connection may come.
func (s state) detached() bool { return s == lost || s == parting }

// ended says whether the sources have nothing to give or take any more.
func (s state) ended() bool { return s >= closing }

type event uint8

const (
	attached   event = iota // a connection is there
	broken                  // the connection failed, or a record did not open
	over                    // the same, and another connection cannot help
	shut                    // closed by this side, or a violation by the peer
	peerClosed              // CLOSE received, or what an attach said of it
	finished                // both CLOSE and both ACK are through
	expired                 // no other connection came, or the other side does not finish
	aborted                 // closed by this side without a word
	events                  // how many there are
)

func (e event) String() string {
	return [...]string{"attached", "broken", "over", "shut", "peerClosed", "finished", "expired", "aborted"}[e]
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
		case broken:
			return lost
		case over, aborted:
			return closed
		case shut:
			return closing
		case peerClosed:
			return answering
		}
	case lost:
		switch e {
		case attached:
			return running
		case shut:
			return parting
		case peerClosed, expired, aborted:
			return closed
		}
	case closing:
		switch e {
		case broken:
			return parting
		case over, expired, aborted:
			return closed
		case peerClosed:
			return answering
		}
	case parting:
		switch e {
		case attached:
			return closing
		case peerClosed, expired, aborted:
			return closed
		}
	case answering:
		switch e {
		case broken, over, expired, aborted, finished:
			return closed
		}
	}
	return s
}
