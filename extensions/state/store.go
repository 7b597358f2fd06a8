package state

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"sync/atomic"
	"time"
)

// Errors of a store. What an operation wraps around them says which limit or value it was.
var (
	// ErrFull: the write needs an entry or bytes beyond Limits, and nothing expired is left to make room. Nothing was changed.
	ErrFull = errors.New("state: full")
	// ErrTooLarge: the key or the value is longer than Limits allow.
	ErrTooLarge = errors.New("state: too large")
	// ErrKind: the value is of the wrong kind for the operation, or of no kind that can be stored.
	ErrKind = errors.New("state: wrong kind of value")
	// ErrNumber: the number, or the result of an increment, is infinite or not a number.
	ErrNumber = errors.New("state: number is not finite")
	// ErrTTL: the time to live is negative.
	ErrTTL = errors.New("state: negative time to live")
	// ErrEntry: an entry's JSON gives its key or its text twice.
	ErrEntry = errors.New("state: malformed entry")
)

// Defaults of Limits.
const (
	DefaultMaxEntries = 100_000
	DefaultMaxKey     = 512
	DefaultMaxValue   = 65_536
	DefaultMaxBytes   = 64 << 20
)

// Limits bound a store. A field of zero or less takes its default.
type Limits struct {
	MaxEntries int   // entries (100 000)
	MaxKey     int   // bytes of one key (512)
	MaxValue   int   // bytes of one value (65 536); a number counts 8, a bool 1
	MaxBytes   int64 // bytes of all keys and values together (64 MiB), without the store's own overhead of about 100 bytes an entry
}

// withDefaults fills in what is not set.
func (l Limits) withDefaults() Limits {
	if l.MaxEntries <= 0 {
		l.MaxEntries = DefaultMaxEntries
	}
	if l.MaxKey <= 0 {
		l.MaxKey = DefaultMaxKey
	}
	if l.MaxValue <= 0 {
		l.MaxValue = DefaultMaxValue
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	return l
}

// never is the expiry of an entry that has none.
const never = math.MaxInt64

// shardCount is the number of independently locked parts of a store; a power of two.
const shardCount = 64

// Store is a key-value store. It is safe for concurrent use and needs no closing.
// In all operations now is nanoseconds since the Unix epoch, and a ttl of zero means that the entry does not expire.
type Store struct {
	limits Limits
	seed   maphash.Seed
	shards []shard
	parent *Store // of an overlay: where reads fall through to

	// What is stored, expired entries included until they are removed; in an overlay the difference to the parent.
	entries atomic.Int64
	bytes   atomic.Int64
}

// New makes an empty store.
func New(l Limits) *Store {
	return &Store{limits: l.withDefaults(), seed: maphash.MakeSeed(), shards: make([]shard, shardCount)}
}

// Fork makes a dry overlay on s: a store that reads what s holds at that moment of reading, and keeps its own writes and deletions to itself. It never
// writes to s. It is cheap to make, is dropped by forgetting it, and refuses what s, changed in the same way, would refuse.
// An operation on it is atomic towards its other users, not towards writers of s.
func (s *Store) Fork() *Store {
	return &Store{limits: s.limits, seed: s.seed, shards: make([]shard, 1), parent: s}
}

// Get gives the value of key, and false if there is none.
func (s *Store) Get(now int64, key string) (Value, bool) {
	v, _ := s.read(now, key)
	return v, v.Kind != KindNone
}

// read gives the value of key and when it expires; the zero Value if there is none.
func (s *Store) read(now int64, key string) (Value, int64) {
	for ; s != nil; s = s.parent {
		sh := s.shardOf(key)
		sh.mu.RLock()
		if e := sh.entries[key]; e != nil {
			v, expires := e.at(now)
			sh.mu.RUnlock()
			return v, expires
		}
		sh.mu.RUnlock()
	}
	return Value{}, never
}

// Set stores v under key, whatever was there before. A ttl of zero takes an earlier expiry away.
func (s *Store) Set(now int64, key string, v Value, ttl time.Duration) error {
	next, expires, err := s.check(now, key, v, ttl)
	if err != nil {
		return err
	}
	return s.update(now, key, func(Value, int64) (edit, error) {
		return put(next, expires), nil
	})
}

// Delete removes key and reports whether it was there.
func (s *Store) Delete(now int64, key string) bool {
	found := false
	// Removing needs no room and has nothing to check: it cannot fail.
	_ = s.update(now, key, func(old Value, _ int64) (edit, error) {
		found = old.Kind != KindNone
		if !found {
			return keep, nil
		}
		return remove, nil
	})
	return found
}

// Incr adds by, which may be negative, to the number under key and gives the sum. An absent key counts as 0 and is created with ttl; the
// expiry of an existing one stays. A value that is not a number is ErrKind, a sum that is not finite ErrNumber; both leave it as it was.
func (s *Store) Incr(now int64, key string, by float64, ttl time.Duration) (float64, error) {
	next, expires, err := s.check(now, key, Num(by), ttl)
	if err != nil {
		return 0, err
	}
	err = s.update(now, key, func(old Value, oldExpires int64) (edit, error) {
		switch old.Kind {
		case KindNone:
			next.Num = by
			return put(next, expires), nil
		case KindNumber:
			next.Num = old.Num + by
			if !finite(next.Num) {
				return keep, fmt.Errorf("increment %v by %v: %w", old.Num, by, ErrNumber)
			}
			return put(next, oldExpires), nil
		default:
			return keep, fmt.Errorf("increment a value of kind %v: %w", old.Kind, ErrKind)
		}
	})
	if err != nil {
		return 0, err
	}
	return next.Num, nil
}

// CompareAndSet stores next if key holds expect, and reports whether it did. An expect of KindNone asks that key be absent; a next of KindNone deletes it.
func (s *Store) CompareAndSet(now int64, key string, expect, next Value, ttl time.Duration) (bool, error) {
	change := remove
	if next.Kind != KindNone {
		v, expires, err := s.check(now, key, next, ttl)
		if err != nil {
			return false, err
		}
		change = put(v, expires)
	}
	swapped := false
	err := s.update(now, key, func(old Value, _ int64) (edit, error) {
		swapped = old.Equal(expect)
		if !swapped {
			return keep, nil
		}
		return change, nil
	})
	return swapped && err == nil, err
}

// SetIfAbsent stores v if key is absent, and reports whether it did.
func (s *Store) SetIfAbsent(now int64, key string, v Value, ttl time.Duration) (bool, error) {
	if v.Kind == KindNone {
		return false, fmt.Errorf("store a value of kind %v: %w", v.Kind, ErrKind)
	}
	return s.CompareAndSet(now, key, Value{}, v, ttl)
}

// Len is the number of entries, those included that expired and were not removed yet.
func (s *Store) Len() int {
	n, _ := s.stored()
	return int(n)
}

// Bytes is the length of all keys and values together, of the entries that Len counts.
func (s *Store) Bytes() int64 {
	_, b := s.stored()
	return b
}

// stored sums up the counters of s and of what it is an overlay on.
func (s *Store) stored() (entries, bytes int64) {
	for ; s != nil; s = s.parent {
		entries += s.entries.Load()
		bytes += s.bytes.Load()
	}
	return max(entries, 0), max(bytes, 0)
}

// Range calls fn with every live entry whose key begins with prefix, in no order, until fn returns false. expires is
// when the entry expires, 0 if it never does. No lock is held while fn runs: it may use the store, and what changes meanwhile is seen or not.
func (s *Store) Range(now int64, prefix string, fn func(key string, v Value, expires int64) bool) {
	s.walk(now, prefix, nil, fn)
}

// walk is Range without the keys that hidden reports; it returns false once fn has.
func (s *Store) walk(now int64, prefix string, hidden func(key string) bool, fn func(string, Value, int64) bool) bool {
	var batch []entry
	for i := range s.shards {
		batch = s.shards[i].snapshot(prefix, batch[:0])
		for j := range batch {
			e := &batch[j]
			v, expires := e.at(now)
			if v.Kind == KindNone || (hidden != nil && hidden(e.key)) {
				continue
			}
			if expires == never {
				expires = 0
			}
			if !fn(e.key, v, expires) {
				return false
			}
		}
	}
	if s.parent == nil {
		return true
	}
	return s.parent.walk(now, prefix, func(key string) bool {
		return s.overlays(key) || (hidden != nil && hidden(key))
	}, fn)
}

// check validates a key, a value and a ttl that are to be stored, and turns the ttl into an expiry.
func (s *Store) check(now int64, key string, v Value, ttl time.Duration) (Value, int64, error) {
	if len(key) > s.limits.MaxKey {
		return Value{}, 0, fmt.Errorf("store a key of %d bytes, at most %d: %w", len(key), s.limits.MaxKey, ErrTooLarge)
	}
	v, err := v.clean()
	if err != nil {
		return Value{}, 0, err
	}
	if v.size() > s.limits.MaxValue {
		return Value{}, 0, fmt.Errorf("store a value of %d bytes, at most %d: %w", v.size(), s.limits.MaxValue, ErrTooLarge)
	}
	switch {
	case ttl < 0:
		return Value{}, 0, fmt.Errorf("keep a value for %v: %w", ttl, ErrTTL)
	case ttl == 0, now > never-int64(ttl):
		return v, never, nil
	default:
		return v, now + int64(ttl), nil
	}
}

// own gives the entry that keeps v under key: copies of both, for a caller's strings may be views of a buffer.
func own(key string, v Value) entry {
	return entry{key: strings.Clone(key), value: ownValue(v), slot: noSlot}
}

func ownValue(v Value) Value {
	v.Text = strings.Clone(v.Text)
	return v
}
