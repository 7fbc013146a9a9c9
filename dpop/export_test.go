package dpop

import "time"

// A Memory is the memory for used proofs, with another limit than that of a Verifier.
type Memory struct{ m *memory }

func NewMemory(limit int) Memory { return Memory{newMemory(limit)} }

func (m Memory) Use(id [32]byte, until, now time.Time) (bool, error) { return m.m.use(id, until, now) }

func (m Memory) Stats() Stats { return m.m.stats() }

// MaxRemembered is the limit of a Verifier.
const MaxRemembered = maxRemembered

// Remembered returns how many clients v remembers.
func Remembered(v *Verifier) int {
	c, err := v.checker()
	if err != nil {
		return 0
	}
	return c.clients.remembered.Len()
}
