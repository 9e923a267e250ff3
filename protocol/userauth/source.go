package userauth

import "context"

// A Source has a user's credentials ready for when they must be sent. Sources may
// be used concurrently.
type Source interface {
	// Credentials gives what is to be sent. rejected is nil the first time;
	// later it is the other side's error for what was given last, an
	// *mslerr.Error. An error ends the request: rejected itself, if there is
	// nothing else to try.
	Credentials(ctx context.Context, rejected error) (Data, error)
}

// Func is a function as a [Source], such as one that asks the person at the
// keyboard.
type Func func(ctx context.Context, rejected error) (Data, error)

// Credentials calls f.
func (f Func) Credentials(ctx context.Context, rejected error) (Data, error) {
	return f(ctx, rejected)
}

// Static is a [Source] of credentials that do not change: once rejected, they are
// not tried again.
func Static(d Data) Source {
	return Func(func(_ context.Context, rejected error) (Data, error) {
		if rejected != nil {
			return nil, rejected
		}
		return d, nil
	})
}
