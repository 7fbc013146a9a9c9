package jsonobj

// The name is folded and hashed with maphash.Bytes.
const maxShort = -1

func shortHash[T text](T) (h uint64, ok bool) { return 0, false }
