package frame

// Class says which account a record is charged to, and whether it asks to be
// acknowledged (channel set-up 4.12).
type Class uint8

// Classes, the higher ones include the lower.
const (
	None    Class = iota // nothing waits
	Quiet                // MAX_*: charged as Control, but asks for no ACK
	Control              // other frames that are no data: RESET_STREAM, AUTH, ...
	Data                 // STREAM, STREAM_OPEN, CONTROL: wait for the retention budget
)

// String names the class.
func (c Class) String() string {
	switch c {
	case None:
		return "none"
	case Quiet:
		return "quiet"
	case Control:
		return "control"
	case Data:
		return "data"
	}
	return "unknown class"
}
