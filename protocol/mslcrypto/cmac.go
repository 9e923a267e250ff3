package mslcrypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// cmac is AES-CMAC (RFC 4493). It holds no state of a computation.
type cmac struct {
	block  cipher.Block
	k1, k2 [aes.BlockSize]byte
}

func newCMAC(block cipher.Block) *cmac {
	c := &cmac{block: block}
	block.Encrypt(c.k1[:], c.k1[:])
	double(&c.k1)
	c.k2 = c.k1
	double(&c.k2)
	return c
}

// double multiplies by x in GF(2^128), without a branch on the key.
func double(k *[aes.BlockSize]byte) {
	carry := k[0] >> 7
	for i := range aes.BlockSize - 1 {
		k[i] = k[i]<<1 | k[i+1]>>7
	}
	k[aes.BlockSize-1] = k[aes.BlockSize-1]<<1 ^ carry*0x87
}

func (c *cmac) size() int { return aes.BlockSize }

// sum is the MAC of data.
func (c *cmac) sum(data []byte) []byte {
	x := make([]byte, aes.BlockSize)
	for len(data) > aes.BlockSize {
		subtle.XORBytes(x, x, data[:aes.BlockSize])
		c.block.Encrypt(x, x)
		data = data[aes.BlockSize:]
	}
	subtle.XORBytes(x, x, data)
	if len(data) == aes.BlockSize {
		subtle.XORBytes(x, x, c.k1[:])
	} else {
		x[len(data)] ^= 0x80
		subtle.XORBytes(x, x, c.k2[:])
	}
	c.block.Encrypt(x, x)
	return x
}
