package session

import (
	"bytes"
	"sync"
	"time"

	"github.com/mslgo/msl/session/frame"
)

// Whole MSL messages, headers and error headers without payload, travel inside
// the channel in CONTROL frames (channel set-up 4.11):
//
//	CONTROL(b flags: 1 FIN, 2 RESPONSE; s part)
//
// The parts of a message follow each other. Each direction has one message in
// flight and one request that is unanswered.

const (
	maxControl        = maxHeader // bytes of a message
	controlsPerSecond = 8

	// requestPause is the least time between two requests of ours: with as many
	// answers it keeps within controlsPerSecond, however they bunch up.
	requestPause = 400 * time.Millisecond
)

func controlViolation(reason string) error {
	return &frame.Error{Code: frame.CodeControl, Reason: reason}
}

// An outgoing message, or what is left of it.
type outgoing struct {
	rest     []byte
	response bool
}

// inband sends and receives the messages.
type inband struct {
	// serve is given each request of the other side, by who reads the connection.
	serve func(request []byte)

	mu        sync.Mutex  // guards all below
	now       *outgoing   // being sent; nil: none
	request   *outgoing   // waits
	response  *outgoing   // waits
	requested bool        // our request has left, and is not answered
	owed      bool        // a request of the other side is not answered
	answers   chan []byte // of our last request, made with it

	// Touched by who reads the connection only.
	in         []byte // of the message that is arriving
	arriving   bool
	inResponse bool
	received   rate
}

func (c *inband) init(serve func([]byte)) {
	c.serve = serve
	c.received.most = controlsPerSecond
}

// send lets a message wait; the caller wakes the link. There is at most one
// request, and a response only to one that was served.
func (c *inband) send(message []byte, response bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &outgoing{message, response}
	if response {
		c.response = m
	} else {
		c.request = m
		c.answers = make(chan []byte, 1)
	}
}

func (c *inband) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now != nil || c.request != nil || c.response != nil
}

// append appends what fits of the message being sent, or of the next one.
func (c *inband) append(dst []byte, room int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.now != nil:
		case c.response != nil:
			c.now, c.response = c.response, nil
		case c.request != nil:
			c.now, c.request = c.request, nil
		default:
			return dst
		}
		n := min(len(c.now.rest), room-frame.ControlOverhead)
		if n <= 0 {
			return dst
		}
		before := len(dst)
		fin := n == len(c.now.rest)
		dst = frame.AppendControl(dst, frame.ControlPart{Fin: fin, Response: c.now.response, Data: c.now.rest[:n]})
		room -= len(dst) - before
		c.now.rest = c.now.rest[n:]
		if !fin {
			return dst
		}
		if c.now.response {
			c.owed = false
		} else {
			c.requested = true
		}
		c.now = nil
	}
}

// handle handles CONTROL.
func (c *inband) handle(b []byte) (rest []byte, err error) {
	p, rest, err := frame.ParseControl(b)
	if err != nil {
		return nil, err
	}
	if !c.arriving {
		if err := c.begin(p.Response); err != nil {
			return nil, err
		}
	}
	switch {
	case p.Response != c.inResponse:
		return nil, controlViolation("a part of another message")
	case len(p.Data) == 0:
		return nil, controlViolation("an empty part")
	case len(c.in)+len(p.Data) > maxControl:
		return nil, frame.Violation(frame.CodeControl, "a message of more than %d bytes", maxControl)
	}
	c.in = append(c.in, p.Data...)
	if !p.Fin {
		return rest, nil
	}
	message := bytes.Clone(c.in)
	c.in, c.arriving = nil, false
	if c.inResponse {
		c.answers <- message // there is room: each request takes its answer away
	} else {
		c.serve(message)
	}
	return rest, nil
}

// begin says whether a message may arrive.
func (c *inband) begin(response bool) error {
	if !c.received.allow(time.Now()) {
		return frame.Violation(frame.CodeAbuse, "more than %d CONTROL messages in a second", controlsPerSecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case response && !c.requested:
		return controlViolation("an answer that nobody waits for")
	case !response && c.owed:
		return controlViolation("a request before the last one was answered")
	}
	if response {
		c.requested = false
	} else {
		c.owed = true
	}
	c.arriving, c.inResponse = true, response
	return nil
}
