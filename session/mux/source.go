package mux

import "github.com/mslgo/msl/session/frame"

// Frames that wait for a stream, besides its bytes.
const (
	controlMaxData uint8 = 1 << iota
	controlReset
	controlStop
)

// addControl lets frames of s wait; behind STREAM_OPEN if that has not left.
func (m *Mux) addControl(s *Stream, bits uint8) {
	if m.err != nil || s.settled {
		return
	}
	before := s.control
	s.control |= bits
	if !s.left {
		s.openNow = true
		m.schedule(s)
		return
	}
	if bits == controlMaxData {
		if before&controlMaxData == 0 {
			m.quiet = append(m.quiet, s)
		}
	} else if before&(controlReset|controlStop) == 0 {
		m.urgent = append(m.urgent, s)
	}
}

// schedule puts s where it belongs if something of it can leave. It changes
// nothing for a stream that has its place.
func (m *Mux) schedule(s *Stream) {
	if m.err != nil {
		return
	}
	switch s.in {
	case nil:
	case &m.starved, &m.paused:
		s.in.remove(s)
	default:
		return
	}
	switch m.can(s) {
	case canSend:
		m.sched.add(s)
	case needsCredit:
		m.starved.push(s)
	case needsTokens:
		m.pause(s, m.missing(s))
	}
}

// unschedule takes s out of the scheduler.
func (m *Mux) unschedule(s *Stream) {
	switch s.in {
	case nil:
	case &m.starved, &m.paused:
		s.in.remove(s)
	default:
		m.sched.remove(s)
	}
}

type ability uint8

const (
	cannotSend  ability = iota
	needsCredit         // of the channel
	needsTokens         // of its bucket
	canSend
)

// can says whether STREAM_OPEN or STREAM of s can leave.
func (m *Mux) can(s *Stream) ability {
	h := &s.send
	pending := h.pending()
	switch {
	case !s.left && (s.openNow || pending > 0):
		if _, ok := m.unopened[s]; !ok {
			return cannotSend
		}
		return canSend
	case pending == 0 && h.state == sendClosing:
		return canSend
	case pending == 0 || h.sent == h.limit:
		return cannotSend
	case m.sent == m.sendLimit:
		return needsCredit
	case m.missing(s) > 0:
		return needsTokens
	}
	return canSend
}

// refresh brings up to date what Waiting returns.
func (m *Mux) refresh() {
	class := frame.None
	switch {
	case m.err != nil:
	case m.sched.any() && !m.held:
		class = frame.Data
	case len(m.urgent) > 0 || m.goingAway && !m.goawaySent:
		class = frame.Control
	case m.creditDue || m.maxStreamsDue():
		class = frame.Quiet
	}
	m.waiting.Store(uint32(class))
}

// maxStreamsDue reports whether MAX_STREAMS is worth a record: the peer has few
// streams left to open, or could have many more. Else it goes with another one.
func (m *Mux) maxStreamsDue() bool {
	many := (m.config.MaxStreams + 3) / 4
	return m.limit > m.limitSent && (m.limitSent-m.opened < many || m.limit-m.limitSent >= many)
}

// unlockAndWake ends a change that may have let frames wait.
func (m *Mux) unlockAndWake() {
	m.refresh()
	wake := m.Waiting() != frame.None
	m.mu.Unlock()
	if wake {
		m.config.Wake()
	}
}

// unlockAfterRead is unlockAndWake for readers, who let nothing wait but credit.
// Other frames have their writer already.
func (m *Mux) unlockAfterRead() {
	m.refresh()
	wake := m.creditDue
	m.mu.Unlock()
	if wake {
		m.config.Wake()
	}
}

// Waiting returns the highest class of what waits; lower ones may wait too.
func (m *Mux) Waiting() frame.Class { return frame.Class(m.waiting.Load()) }

// Sparse counts the frames of streams that have sent little since something came
// on them: which are asked and answered.
func (m *Mux) Sparse() uint64 { return m.sparse.Load() }

// AppendFrames appends whole frames, at most room bytes, to dst, for record
// number seq. Frames above the class most are left waiting. It returns the class
// of what it appended. One goroutine at a time.
func (m *Mux) AppendFrames(dst []byte, room int, most frame.Class, seq uint64) ([]byte, frame.Class) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return dst, frame.None
	}
	end := len(dst) + room
	class := frame.None
	mark := len(dst)
	did := func(c frame.Class) {
		if len(dst) > mark {
			class, mark = max(class, c), len(dst)
		}
	}
	if most >= frame.Control {
		dst = m.appendControl(dst, end)
		did(frame.Control)
	}
	if most >= frame.Quiet {
		dst = m.appendQuiet(dst, end)
		did(frame.Quiet)
	}
	if most >= frame.Data {
		dst = m.appendData(dst, end, seq)
		did(frame.Data)
	}
	m.refresh()
	return dst, class
}

// BatchSent is called by who calls AppendFrames when what that gave is on its
// way: writers whose bytes it was are woken here, once.
func (m *Mux) BatchSent() {
	for _, s := range m.resumed {
		s.send.cond.Signal()
	}
	clear(m.resumed)
	m.resumed = m.resumed[:0]
}

// maxControl is the longest of the frames that appendControl and appendQuiet append.
const maxControl = 1 + 8 + 8

// appendControl appends RESET_STREAM, STOP_SENDING and GOAWAY.
func (m *Mux) appendControl(dst []byte, end int) []byte {
	n := 0
	for _, s := range m.urgent {
		if end-len(dst) < 2*maxControl {
			break
		}
		n++
		if s.control&controlReset != 0 {
			dst = frame.AppendResetStream(dst, s.id, s.send.code)
			s.send.state = s.send.state.next(sendResetLeft)
		}
		if s.control&controlStop != 0 && s.recv.state == recvStopped {
			dst = frame.AppendStopSending(dst, s.id, s.recv.code)
		}
		s.control &^= controlReset | controlStop
		m.settle(s)
	}
	m.urgent = shift(m.urgent, n)
	if m.goingAway && !m.goawaySent && end-len(dst) >= maxControl {
		m.goawaySent = true
		dst = frame.AppendGoaway(dst, m.served)
	}
	return dst
}

// appendQuiet appends MAX_DATA, MAX_STREAMS and MAX_STREAM_DATA, the newest value of each.
func (m *Mux) appendQuiet(dst []byte, end int) []byte {
	if m.maxData && end-len(dst) >= maxControl {
		m.maxData = false
		dst = frame.AppendMaxData(dst, m.window.raise(m.now(), m.config.RTT()))
	}
	if m.limit > m.limitSent && end-len(dst) >= maxControl {
		m.limitSent = m.limit
		dst = frame.AppendMaxStreams(dst, m.limit)
	}
	if len(m.quiet) > 0 {
		n, now, roundTrip := 0, m.now(), m.config.RTT()
		for _, s := range m.quiet {
			if end-len(dst) < maxControl {
				break
			}
			n++
			s.control &^= controlMaxData
			if s.recv.state == recvOpen {
				dst = frame.AppendMaxStreamData(dst, s.id, s.recv.window.raise(now, roundTrip))
			}
		}
		m.quiet = shift(m.quiet, n)
	}
	m.creditDue = m.creditDue && (m.maxData || len(m.quiet) > 0)
	return dst
}

// shift drops the first n elements and keeps the memory.
func shift(l []*Stream, n int) []*Stream {
	if n == 0 {
		return l
	}
	k := copy(l, l[n:])
	clear(l[k:])
	return l[:k]
}

// appendData appends STREAM_OPEN and STREAM of those whose turn it is.
func (m *Mux) appendData(dst []byte, end int, seq uint64) []byte {
	for m.sched.any() {
		s, most := m.sched.next()
		if m.hold(s) {
			return dst
		}
		if a := m.can(s); a == needsCredit || a == needsTokens {
			m.sched.remove(s)
			m.schedule(s)
			continue
		}
		if !s.left {
			o := frame.StreamOpen{
				ID: m.numbered<<1 | m.ownBit(), Urgency: s.priority.Urgency, Incremental: s.priority.Incremental,
			}
			o.Label, o.Metadata = s.title.get()
			if o.Len() > end-len(dst) {
				return dst
			}
			dst = frame.AppendStreamOpen(dst, &o)
			m.leave(s, o.ID)
		}
		var n int
		var full bool
		if dst, n, full = m.appendStream(dst, end, s, most, seq); full {
			return dst
		}
		m.sched.served(s, n, m.can(s) == canSend)
		m.schedule(s) // which may now lack only the channel's credit
	}
	return dst
}

// ownBit is the lowest bit of the IDs of streams opened here.
func (m *Mux) ownBit() uint64 {
	if m.config.Initiator {
		return 0
	}
	return 1
}

// leave gives a stream its ID, as its STREAM_OPEN is in a record.
func (m *Mux) leave(s *Stream, id uint64) {
	s.id, s.left, s.openNow = id, true, false
	m.numbered++
	if delete(m.unopened, s); len(m.unopened) == 0 {
		m.openTimer.Stop() // or it would wake a thread for nothing
	}
	m.streams[id] = s
	m.config.Recorder.StreamOpened(id, true)
	if bits := s.control; bits != 0 {
		s.control = 0
		m.addControl(s, bits)
	}
}

// appendStream appends a STREAM frame of s, with at most most bytes of data. It
// returns the number of those, and whether the record is full before s had its due.
func (m *Mux) appendStream(dst []byte, end int, s *Stream, most int, seq uint64) (_ []byte, n int, full bool) {
	h := &s.send
	pending := h.pending()
	n = m.bucket.most(h.bucket.most(min(pending, most)))
	n = int(min(uint64(n), h.limit-h.sent, m.sendLimit-m.sent))
	fin := h.state == sendClosing && n == pending
	if n == 0 && !fin {
		return dst, 0, false
	}
	try := h.compress
	if fit := end - len(dst) - frame.StreamHeaderLen(s.id, n); fit < n {
		if fit < min(n, minPiece) {
			return dst, 0, true
		}
		n, fin = fit, false
		try = try && n >= compressRoom
	} else if fit < 0 {
		return dst, 0, true
	}
	raw := 0
	if try {
		dst, raw = m.appendCompressed(dst, s, n, fin)
	}
	if raw > 0 {
		n, fin = raw, fin && raw == n
	} else {
		dst = frame.AppendStreamHeader(dst, s.id, n, fin)
		dst = h.take(dst, n)
	}
	if h.mayGoOn() {
		h.waits = false
		m.resumed = append(m.resumed, s)
	}
	if h.said += n; h.said <= sparse {
		m.sparse.Add(1)
	}
	m.sent += uint64(n)
	h.bucket.take(n)
	m.bucket.take(n)
	h.last = seq
	if fin {
		h.state = h.state.next(sendFinLeft)
		m.settle(s)
	}
	m.noteLeft(s)
	return dst, n, false
}
