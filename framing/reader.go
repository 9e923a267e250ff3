package framing

import (
	"io"
	"slices"
)

// A Reader cuts a connection's byte stream into objects and records, in
// whatever order they come. There is one for each connection, and nothing else
// reads from it: what was read too far stays in the Reader for the next unit.
//
// Its methods are called by one goroutine at a time. After an error of Object,
// Record or SkipRecord, the stream is of no further use.
type Reader struct {
	src    io.Reader
	waiter waitReader // src, if it has the method
	limits Limits

	buf  *Buffer // nil while no bytes are held
	r, w int     // buf.B[r:w] was read and not yet handed out
	err  error   // what a Read returned along with its last bytes

	class       int // of the next buffer
	sparse      int // Reads in a row that left most of the buffer empty
	afterObject bool
}

type waitReader interface{ WaitRead() error }

const (
	// minRead is the least room worth a Read, if another buffer has more.
	minRead = 2 << 10
	// shrinkAfter is how many sparse Reads in a row make the buffers smaller.
	shrinkAfter = 8
	maxEmpty    = 100 // Reads of nothing in a row before io.ErrNoProgress
)

// NewReader returns a Reader of src. If src has a method WaitRead() error that
// blocks until there is something to read, the Reader calls it before it takes
// a buffer, so that an idle connection holds none.
func NewReader(src io.Reader, limits Limits) *Reader {
	r := &Reader{src: src, limits: limits.withDefaults(), class: leastRead}
	r.waiter, _ = src.(waitReader)
	return r
}

// SetLimits changes the limits of the objects to come: what may follow a set-up is
// not what may begin one.
func (r *Reader) SetLimits(limits Limits) { r.limits = limits.withDefaults() }

// SetSource changes where the bytes to come are read from: the same
// connection in another way. An error of the new source that comes with no bytes
// does not end the stream if the source says so: Record can then be called again.
func (r *Reader) SetSource(src io.Reader) {
	r.src = src
	r.waiter, _ = src.(waitReader)
}

// Close returns the Reader's buffer to the pool. Records that were handed out
// stay valid. It does not close the source.
func (r *Reader) Close() { r.drop() }

func (r *Reader) drop() {
	if r.buf != nil {
		r.buf.Release()
		r.buf = nil
	}
	r.r, r.w = 0, 0
}

// Peek returns the first byte of the next object or record, and waits for it.
// White space after an object is skipped, as every stack does. The error is
// io.EOF only if the source ended where a unit may end.
func (r *Reader) Peek() (byte, error) {
	for {
		if err := r.fill(1); err != nil {
			return 0, err
		}
		b := r.buf.B[r.r]
		if !r.afterObject || !isSpace(b) {
			return b, nil
		}
		r.r++
	}
}

// Object returns the bytes of the next object, and no other, in a slice of
// their own. The error is io.EOF as in [Reader.Peek], io.ErrUnexpectedEOF if
// the source ended inside the object.
func (r *Reader) Object() ([]byte, Format, error) {
	object, format, err := r.AppendObject(nil)
	if err != nil {
		return nil, nil, err
	}
	return slices.Clip(object), format, nil
}

// AppendObject is [Reader.Object] for whoever has memory for the object: it
// appends its bytes to dst. After an error it returns what it has of them.
func (r *Reader) AppendObject(dst []byte) ([]byte, Format, error) {
	b, err := r.Peek()
	if err != nil {
		return dst, nil, err
	}
	format, err := Detect(b)
	if err != nil {
		return dst, nil, err
	}
	scanner := format.NewScanner(r.limits)
	for {
		n, done, err := scanner.Scan(r.buf.B[r.r:r.w])
		if err != nil {
			return dst, nil, err
		}
		dst = append(dst, r.buf.B[r.r:r.r+n]...)
		r.r += n
		if done {
			r.afterObject = true
			return dst, format, nil
		}
		if err := r.fill(1); err != nil {
			return dst, nil, unexpected(err)
		}
	}
}

// Record returns the next record, which must be opened or copied before its
// Release. What follows its header may be at most maxLength bytes long. The
// error is io.EOF as in [Reader.Peek], io.ErrUnexpectedEOF if the source ended
// inside the record.
func (r *Reader) Record(maxLength int) (Record, error) {
	size, err := r.recordSize(maxLength)
	if err != nil {
		return Record{}, err
	}
	if err := r.fill(size); err != nil {
		return Record{}, unexpected(err)
	}
	r.buf.Retain()
	rec := Record{B: r.buf.B[r.r : r.r+size : r.r+size], Buffer: r.buf}
	r.consumeRecord(size)
	return rec, nil
}

// SkipRecord reads the next record and drops it without holding all of it. It
// returns the length of what followed the header, and errors as Record does.
func (r *Reader) SkipRecord(maxLength int) (int, error) {
	size, err := r.recordSize(maxLength)
	if err != nil {
		return 0, err
	}
	for left := size; ; {
		n := min(left, r.w-r.r)
		r.consumeRecord(n)
		if left -= n; left == 0 {
			return size - RecordHeaderLength, nil
		}
		if err := r.fill(1); err != nil {
			return 0, unexpected(err)
		}
	}
}

// recordSize waits for the next record's header and returns the record's whole size.
func (r *Reader) recordSize(maxLength int) (int, error) {
	kind, err := r.Peek()
	if err != nil {
		return 0, err
	}
	if !IsRecord(kind) {
		return 0, &SyntaxError{Reason: "no record"}
	}
	if err := r.fill(RecordHeaderLength); err != nil {
		return 0, unexpected(err)
	}
	length := recordLength(r.buf.B[r.r:])
	if length > maxLength {
		return 0, &LimitError{Limit: "record length", Max: maxLength}
	}
	return RecordHeaderLength + length, nil
}

func (r *Reader) consumeRecord(n int) {
	r.r += n
	r.afterObject = false
}

// HasRecord reports whether a whole record is at hand, so that the next call
// of Record neither blocks nor fails but for the record's length. While it
// does, a batch goes on.
func (r *Reader) HasRecord() bool {
	if r.w-r.r < RecordHeaderLength {
		return false
	}
	b := r.buf.B[r.r:r.w]
	return IsRecord(b[0]) && len(b)-RecordHeaderLength >= recordLength(b)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill reads until at least need bytes are held, in one piece.
func (r *Reader) fill(need int) error {
	for r.w-r.r < need {
		if r.err != nil {
			err := r.err
			if r.w == r.r {
				r.drop()
			}
			return err
		}
		if err := r.makeRoom(need); err != nil {
			return err
		}
		if err := r.read(); err != nil {
			if r.w == r.r {
				r.drop()
			}
			return err
		}
	}
	return nil
}

// makeRoom provides for a Read behind the held bytes, such that need bytes fit
// in one piece. Bytes that are handed out are never moved; held ones are, but
// only when the buffer's end is reached, and then they are less than one unit.
func (r *Reader) makeRoom(need int) error {
	if r.r == r.w {
		r.drop()
		if r.waiter != nil {
			if err := r.waiter.WaitRead(); err != nil {
				return err
			}
		}
		r.buf = GetBuffer(max(need, classes[r.class]))
		return nil
	}
	size := len(r.buf.B)
	if r.r+need <= size && size-r.w >= minRead || r.w < size && r.r == 0 && need <= size {
		return nil
	}
	held := r.buf.B[r.r:r.w]
	if !r.buf.shared() && size >= max(need, classes[r.class]) {
		copy(r.buf.B, held)
	} else {
		next := GetBuffer(max(need, len(held)+minRead, classes[r.class]))
		copy(next.B, held)
		r.buf.Release()
		r.buf = next
	}
	r.r, r.w = 0, len(held)
	return nil
}

// read reads once, as much as fits. Buffers grow while Reads fill them, since
// bulk then costs few system calls, and shrink when it is over.
func (r *Reader) read() error {
	room := r.buf.B[r.w:]
	for range maxEmpty {
		n, err := r.src.Read(room)
		if n < 0 || n > len(room) {
			panic("framing: source returned an impossible count")
		}
		if n == 0 && err == nil {
			continue
		}
		r.w += n
		switch {
		case n == len(room):
			r.class, r.sparse = min(r.class+1, largest), 0
		case n >= classes[r.class]/4:
			r.sparse = 0
		default:
			if r.sparse++; r.sparse == shrinkAfter {
				r.class, r.sparse = max(r.class-1, leastRead), 0
			}
		}
		if n > 0 {
			r.err = err
			return nil
		}
		return err
	}
	return io.ErrNoProgress
}
