// Package edwards25519 checks Ed25519 public keys. crypto/ed25519 does not check a
// public key before it verifies a signature with it, and accepts keys of small order.
//
// The package does no cryptography with secrets: its input is public, so its
// running time may depend on the input.
package edwards25519

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
)

// The field prime 2^255-19 and the curve constant -121665/121666 (RFC 8032
// section 5.1).
var (
	one = big.NewInt(1)
	p   = new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	d   = curveConstant()
)

func curveConstant() *big.Int {
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	return d.Mul(d, big.NewInt(-121665)).Mod(d, p)
}

// IsPoint reports whether key, which has 32 bytes, encodes a point on the curve
// (RFC 8032 section 5.1.3): y is less than p, and (y^2-1)/(dy^2+1) is a square. It
// ignores the sign of x. The RFC also refuses x = 0 with the sign bit set;
// HasSmallOrder finds these two keys.
func IsPoint(key ed25519.PublicKey) bool {
	bigEndian := withoutSign(key)
	slices.Reverse(bigEndian)
	y := new(big.Int).SetBytes(bigEndian)
	if y.Cmp(p) >= 0 {
		return false
	}
	square := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(square, one)
	v := new(big.Int).Mul(d, square)
	v.Add(v, one).ModInverse(v, p)
	return big.Jacobi(u.Mul(u, v).Mod(u, p), p) >= 0
}

// HasSmallOrder reports whether key, which has 32 bytes, encodes one of the eight
// points whose order divides the cofactor (RFC 8032 section 5.1). Signatures that
// verify with such a key can be made without a private key.
func HasSmallOrder(key ed25519.PublicKey) bool {
	return smallOrderY[hex.EncodeToString(withoutSign(key))]
}

// smallOrderY has the y coordinates of the points of small order, little-endian: 0
// (order 4), 1 (order 1), two of order 8, and p-1 (order 2).
var smallOrderY = map[string]bool{
	strings.Repeat("00", 32):                                           true,
	"01" + strings.Repeat("00", 31):                                    true,
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05": true,
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a": true,
	"ec" + strings.Repeat("ff", 30) + "7f":                             true,
}

// withoutSign returns the encoding of the y coordinate alone: the top bit of the
// last byte is the sign of x.
func withoutSign(key ed25519.PublicKey) []byte {
	y := bytes.Clone(key)
	y[len(y)-1] &^= 0x80
	return y
}
