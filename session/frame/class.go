package frame

// Class says which account a record is charged to (channel set-up 4.12).
type Class uint8

// Classes, the higher ones include the lower.
const (
	None    Class = iota // nothing waits
	Control              // frames that are no data: MAX_*, RESET_STREAM, ...
	Data                 // STREAM, STREAM_OPEN, CONTROL: wait for the retention budget
)

// String names the class.
func (c Class) String() string {
	switch c {
	case None:
		return "none"
	case Control:
		return "control"
	}
	return "data"
}
