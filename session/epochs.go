package session

import "sync"

// epochs keeps the keys for attach and rekey of a living channel: those of the
// newest epoch, and at the responder those of the one before until the
// initiator's switch is here, since it may attach with either (channel set-up
// 4.6.3, 4.7.4). Its methods may be called concurrently.
type epochs struct {
	begun func(*epoch) // told of each one after the first; nil: nobody is

	mu     sync.Mutex
	newest *epoch
	before *epoch // nil: erased
}

// number is that of the newest epoch.
func (k *epochs) number() uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.newest.number
}

// use calls f with the epoch of that number while nobody erases it. It reports
// false if its keys are not kept (any more).
func (k *epochs) use(number uint32, f func(*epoch)) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range []*epoch{k.newest, k.before} {
		if e != nil && e.number == number {
			f(e)
			return true
		}
	}
	return false
}

// advance makes next the newest epoch. The one before is kept until settle.
func (k *epochs) advance(next *epoch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.newest, k.before = next, k.newest
	if k.begun != nil {
		k.begun(next)
	}
}

// settle erases the epoch before the newest.
func (k *epochs) settle() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.before != nil {
		k.before.erase()
		k.before = nil
	}
}

// erase ends all.
func (k *epochs) erase() {
	k.settle()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.newest.erase()
}
