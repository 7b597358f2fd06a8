package remote

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"aead.dev/minisign"
)

// SignatureSuffix ends the name of the file beside a module that holds its signature.
const SignatureSuffix = ".minisig"

// maxSignature bounds a signature file, in bytes.
const maxSignature = 4 << 10

// ParseKey reads a public key: the one line of base64 or a whole file of minisign.
func ParseKey(text string) (minisign.PublicKey, error) {
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return k, fmt.Errorf("public key %.80q: want the line that minisign writes into its .pub file, such as RWQ...: %w", text, err)
	}
	return k, nil
}

// Verify checks that one of the keys signed the code and returns its identifier as
// minisign prints it. The error wraps ErrRefused, or says that a key cannot be read.
func Verify(code, signature []byte, keys []string) (signer string, err error) {
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return "", fmt.Errorf("%w: the signature cannot be read: %w", ErrRefused, err)
	}
	for _, text := range keys {
		k, err := ParseKey(text)
		if err != nil {
			return "", err
		}
		if k.ID() != s.KeyID {
			continue
		}
		if !minisign.Verify(k, code, signature) {
			return "", fmt.Errorf("%w: the signature of key %s is not of these bytes: they were changed, or it belongs to another version", ErrRefused, keyID(k.ID()))
		}
		return keyID(k.ID()), nil
	}
	return "", fmt.Errorf("%w: signed with key %s, which is not among the keys of require_signed", ErrRefused, keyID(s.KeyID))
}

// SignerOf returns the identifier of the key that a signature says it is of. Nothing
// is verified.
func SignerOf(signature []byte) (string, error) {
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return "", fmt.Errorf("%w: the signature cannot be read: %w", ErrRefused, err)
	}
	return keyID(s.KeyID), nil
}

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// Sign signs code with a key made by Generate or by minisign. name goes into the
// trusted comment. The error says so where the key needs a password.
func Sign(code, key []byte, password, name string, now time.Time) ([]byte, error) {
	k, err := readKey(key, password)
	if err != nil {
		return nil, err
	}
	r := minisign.NewReader(bytes.NewReader(code))
	if _, err := r.Read(make([]byte, len(code)+1)); err != nil && len(code) > 0 {
		return nil, fmt.Errorf("hash the module: %w", err)
	}
	name = strings.Map(func(c rune) rune {
		if c < ' ' {
			return -1
		}
		return c
	}, name)
	return r.SignWithComments(k, fmt.Sprintf("timestamp:%d\tfile:%s\thashed", now.Unix(), name), "signature from a key of gaia policy sign"), nil
}

// ErrPassword is returned for an encrypted key without its password.
var ErrPassword = errors.New("the key is encrypted: its password is missing or wrong")

func readKey(key []byte, password string) (minisign.PrivateKey, error) {
	var k minisign.PrivateKey
	if minisign.IsEncrypted(key) {
		k, err := minisign.DecryptKey(password, bytes.TrimSpace(key))
		if err != nil {
			return k, fmt.Errorf("%w: %w", ErrPassword, err)
		}
		return k, nil
	}
	if err := k.UnmarshalText(bytes.TrimSpace(key)); err != nil {
		return k, fmt.Errorf("read the key: %w", err)
	}
	return k, nil
}

// Generate makes a pair of keys in the files' form of minisign. An empty password
// leaves the secret key in the clear.
func Generate(password string) (secret, public []byte, err error) {
	pub, key, err := minisign.GenerateKey(nil)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	if public, err = pub.MarshalText(); err != nil {
		return nil, nil, fmt.Errorf("write the key: %w", err)
	}
	if password == "" {
		secret, err = key.MarshalText()
	} else {
		secret, err = minisign.EncryptKey(password, key)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("write the key: %w", err)
	}
	return append(secret, '\n'), append(public, '\n'), nil
}
