package natives

// hashBits keeps a hash exact as a JavaScript number.
const hashBits = 1<<53 - 1

// Hash is the stable hash of a text: FNV-1a of 64 bits, finished with the mixer of
// MurmurHash3 and cut to 53 bits. It is the same in both engines, on every machine
// and in every version.
func Hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return mix(h) & hashBits
}

func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Pick returns the index of the entry that key belongs to, by rendezvous hashing
// (Thaler and Ravishankar, 1998): adding or removing an entry moves only the keys
// of that entry. n is the length of the list, entry its texts; -1 for an empty one.
func Pick(key string, n int, entry func(i int) string) int {
	best, at := uint64(0), -1
	k := Hash(key)
	for i := range n {
		if w := mix(k ^ mix(Hash(entry(i)))); at < 0 || w > best {
			best, at = w, i
		}
	}
	return at
}
