package h1

import (
	"bytes"
	"io"

	"github.com/gaia-host/gaia/subsystems/api/h1/head"
)

const (
	// maxChunkLine bounds the line before a chunk.
	maxChunkLine = 4 << 10
	// Chunks may take some bytes beyond their data, as those of one byte do, and what
	// goes beyond that is counted: a body of nothing else has no end.
	wasteOfChunk = 16
	maxWaste     = 16 << 10
)

// takeChunks reads the data of chunks: what has come, and it waits only for the first
// byte. io.EOF comes when the trailer was read.
func (b *body) takeChunks(p []byte) (n int, err error) {
	for len(p) > 0 {
		if b.left == 0 {
			if n > 0 && !b.lineAhead() {
				break
			}
			if err = b.nextChunk(); err != nil {
				return n, err
			}
			continue
		}
		if n > 0 && len(b.conn.ahead()) == 0 {
			break
		}
		var m int
		m, err = b.take(p)
		n, p = n+m, p[m:]
		if err != nil {
			return n, noEOF(err)
		}
	}
	// The end is told with the last byte where it has come together with it.
	if err == nil && b.left == 0 && bytes.Equal(b.conn.ahead(), endOfChunks) {
		err = b.nextChunk()
	}
	return n, err
}

// lineAhead reports whether it can be read without waiting what comes before the next
// data, or, where there is none, the end.
func (b *body) lineAhead() bool {
	ahead := b.conn.ahead()
	if b.inside {
		if len(ahead) < 2 {
			return false
		}
		ahead = ahead[2:]
	}
	if len(ahead) > 0 && ahead[0] == '0' {
		return head.End(ahead, 0) > 0
	}
	return bytes.IndexByte(ahead, '\n') >= 0
}

// endOfChunks is what follows the data of the last chunk, where there is no trailer.
var endOfChunks = []byte("\r\n0\r\n\r\n")

// nextChunk reads on to the next chunk's data; io.EOF is the end of the body.
func (b *body) nextChunk() error {
	c := b.conn
	if b.inside {
		for len(c.ahead()) < 2 {
			if err := c.fill(); err != nil {
				return noEOF(err)
			}
		}
		if string(c.ahead()[:2]) != "\r\n" {
			return malformed("a chunk is longer than announced")
		}
		c.r += 2
		b.inside = false
	}
	line, err := c.chunkLine()
	if err != nil {
		return err
	}
	size, err := chunkSize(line)
	if err != nil {
		return err
	}
	b.waste = max(b.waste+int64(len(line))+2-wasteOfChunk-2*min(size, maxChunkLine), 0)
	if b.waste > maxWaste {
		return malformed("the chunks hold too little data")
	}
	if size == 0 {
		if err := b.trailer(); err != nil {
			return err
		}
		return io.EOF
	}
	b.left, b.inside = size, true
	return nil
}

// chunkLine reads a line that ends with CR LF and returns it without.
func (c *conn) chunkLine() ([]byte, error) {
	for {
		ahead := c.ahead()
		i := bytes.IndexByte(ahead, '\n')
		if i >= maxChunkLine || i < 0 && len(ahead) >= maxChunkLine {
			return nil, malformed("a chunk's line is too long")
		}
		if i >= 0 {
			if i == 0 || bytes.IndexByte(ahead[:i], '\r') != i-1 {
				return nil, malformed("a chunk's line does not end with CR LF")
			}
			c.r += i + 1
			return ahead[:i-1], nil
		}
		if err := c.fill(); err != nil {
			return nil, noEOF(err)
		}
	}
}

// chunkSize reads the size at the beginning of a chunk's line; what follows it,
// extensions, means nothing here.
func chunkSize(line []byte) (int64, error) {
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	line = bytes.TrimRight(line, " \t")
	const most = 15 // hexadecimal digits of an int64
	if len(line) == 0 || len(line) > most {
		return 0, malformed("a chunk's size is not a number")
	}
	var n int64
	for _, c := range line {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, malformed("a chunk's size is not a number")
		}
		n = n<<4 | int64(c)
	}
	return n, nil
}
