package head

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net/http"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
)

const plain = "Host: example.com\r\nuser-agent: x/1\r\nX-Odd-Name: a\r\nAccept:*/*\r\nx-odd-name: \t b c \t\r\nEmpty:\r\nX_y: \xc3\xa9\t!\r\n\r\n"

func TestFieldsAreRead(t *testing.T) {
	var f Fields
	if err := f.Parse(plain, 7); err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Host": {"example.com"}, "User-Agent": {"x/1"}, "X-Odd-Name": {"a", "b c"}, "Accept": {"*/*"}, "Empty": {""}, "X_y": {"\xc3\xa9\t!"},
	}
	if !reflect.DeepEqual(f.Header, want) {
		t.Errorf("got %q", f.Header)
	}
	if err := f.Parse("A: 1\r\nHost: 2\r\n\r\n", 0); err != nil || f.Header.Get("A") != "1" || len(f.Header["Host"]) != 2 || f.Header.Get("Accept") != "*/*" {
		t.Errorf("more fields: %v, %q", err, f.Header)
	}
	f.Header["Empty"] = append(f.Header["Empty"], "grown")
	if f.Header.Get("X_y") != "\xc3\xa9\t!" {
		t.Error("a list that grew reached into the next")
	}
	accept := f.Header.Get("Accept")
	f.Reset()
	if err := f.Parse("B: 3\r\n\r\n", 0); err != nil || !reflect.DeepEqual(f.Header, http.Header{"B": {"3"}}) || accept != "*/*" {
		t.Errorf("after Reset: %v, %q, %q", err, f.Header, accept)
	}
	if err := (&Fields{}).Parse("\r\n", 1); err != nil {
		t.Errorf("no fields: %v", err)
	}
}

func TestMalformedFieldsAreRefused(t *testing.T) {
	for in, want := range map[string]error{
		"": ErrLine, "\n": ErrLine, "\r": ErrLine, "A: b": ErrLine, "A: b\r\n": ErrLine, "A: b\n\r\n": ErrLine, "A: b\r\n\n": ErrLine,
		"\r\nA: b\r\n\r\n": ErrLine, "A: b\r\n\r\nC": ErrLine,
		" A: b\r\n\r\n": ErrFolded, "A: b\r\n c\r\n\r\n": ErrFolded, "A: b\r\n\tC: d\r\n\r\n": ErrFolded,
		": b\r\n\r\n": ErrName, "A\r\n\r\n": ErrName, "A : b\r\n\r\n": ErrName, "A b: c\r\n\r\n": ErrName, "A(b): c\r\n\r\n": ErrName,
		"A\x00b: c\r\n\r\n": ErrName, "\xc3\xa9: c\r\n\r\n": ErrName, "A\r: c\r\n\r\n": ErrName,
		"A: b\x00\r\n\r\n": ErrValue, "A: b\rc\r\n\r\n": ErrValue, "A: b\r\r\n\r\n": ErrValue, "A: \x7f\r\n\r\n": ErrValue,
		"A: 01234567\x01\r\n\r\n": ErrValue, "A: 0123\x7f4567\r\n\r\n": ErrValue, "A: 0123\t45\x0b67\r\n\r\n": ErrValue, "A: \v5\r\n\r\n": ErrValue,
		"A: b\r\nC: d\r\nE: f\r\n\r\n": ErrTooMany,
	} {
		if err := (&Fields{}).Parse(in, 2); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
}

func TestTheEndOfAHead(t *testing.T) {
	for in, want := range map[string]int{
		"":                           0,
		"GET / HTTP/1.1\r\n":         0,
		"GET / HTTP/1.1\r\n\r":       0,
		"GET / HTTP/1.1\r\n\r\nrest": 18,
		"A\r\nB: c\r\n\r\nD\r\n\r\n": 11,
		"A\n\nrest":                  3,
		"A\n\r\nrest":                4,
		"A\r\n\nrest":                4,
		"\r\n\r\n":                   4,
		"\r\nA":                      0,
	} {
		if got := End([]byte(in), 0); got != want {
			t.Errorf("%q ends at %d, want %d", in, got, want)
		}
		for seen := range max(want, 1) {
			if got := End([]byte(in), seen); got != want {
				t.Errorf("%q of which %d bytes were seen ends at %d, want %d", in, seen, got, want)
			}
		}
	}
	line, rest, err := Line("GET / HTTP/1.1\r\nA: b\r\n\r\n")
	if line != "GET / HTTP/1.1" || rest != "A: b\r\n\r\n" || err != nil {
		t.Errorf("%q %q %v", line, rest, err)
	}
	for _, in := range []string{"", "\n", "A", "A\nB\r\n"} {
		if _, _, err := Line(in); !errors.Is(err, ErrLine) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestLengthIsOneNumber(t *testing.T) {
	for _, tt := range []struct {
		values []string
		want   int64
	}{
		{nil, -1}, {[]string{"0"}, 0}, {[]string{"5", "5"}, 5}, {[]string{"9223372036854775807"}, math.MaxInt64}, {[]string{"0005"}, 5},
	} {
		if n, err := Length(http.Header{"Content-Length": tt.values}); n != tt.want || err != nil {
			t.Errorf("%q: %d, %v", tt.values, n, err)
		}
	}
	for _, values := range [][]string{{""}, {"+5"}, {"-5"}, {"5 5"}, {"5,5"}, {"5", "6"}, {"5", "05"}, {"0x5"}, {"1_0"}, {"9223372036854775808"}} {
		if n, err := Length(http.Header{"Content-Length": values}); !errors.Is(err, ErrLength) {
			t.Errorf("%q: %d, %v", values, n, err)
		}
	}
}

func TestNamesAndValuesToSend(t *testing.T) {
	for in, want := range map[string]string{"Host": "Host", "x-odd-name": "X-Odd-Name", "CONTENT-LENGTH": "Content-Length", "a_B": "A_b", strings.Repeat("a", 50): "A" + strings.Repeat("a", 49)} {
		if got, ok := Name(in); got != want || !ok || !Token(in) {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "a b", "a:", "a\x00", "\xc3\xa9", "a\r\n"} {
		if _, ok := Name(in); ok || Token(in) {
			t.Errorf("%q is a name", in)
		}
	}
	if v, ok := Value(" \ta b\t"); v != "a b" || !ok {
		t.Errorf("%q, %v", v, ok)
	}
	for _, in := range []string{"a\nb", "a\r", "\x00", "01234567\x7f"} {
		if _, ok := Value(in); ok {
			t.Errorf("%q is a value", in)
		}
	}
}

func TestKnownNamesAreCanonical(t *testing.T) {
	for name, same := range known {
		if name != same || textproto.CanonicalMIMEHeaderKey(name) != name || len(name) > maxKnown {
			t.Errorf("%q, %q", name, same)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	var f Fields
	block := "Host: example.com\r\nuser-agent: x/1\r\naccept: */*\r\nX-Odd-Name: a value of some length\r\n\r\n"
	head := []byte("GET / HTTP/1.1\r\n" + block)
	if n := testing.AllocsPerRun(100, func() {
		f.Reset()
		if End(head, 0) != len(head) || f.Parse(block, 100) != nil || len(f.Header) != 4 {
			t.Fatal("it was not read")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		var f Fields
		if f.Parse(block, 100) != nil || len(f.Header) != 4 {
			t.Fatal("it was not read")
		}
	}); n > 3 {
		t.Errorf("%v allocations for a Header of its own", n)
	}
}

// FuzzFieldsAgainstTextproto: what Parse accepts, net/textproto reads alike.
func FuzzFieldsAgainstTextproto(f *testing.F) {
	for _, s := range []string{plain, "\r\n", "A: b\r\n c\r\n\r\n", "A : b\r\n\r\n", "A: b\n\r\n", "a-b-c: 0123456\x7f89\r\n\r\n", "X: \r\nX: 2\r\n\r\n", "A: \r\r\n\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, block string) {
		var fields Fields
		if err := fields.Parse(block, 0); err != nil {
			return
		}
		r := bufio.NewReader(strings.NewReader(block))
		want, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			t.Fatalf("accepted %q, textproto does not: %v", block, err)
		}
		if len(want)+len(fields.Header) > 0 && !reflect.DeepEqual(http.Header(want), fields.Header) {
			t.Fatalf("%q is read as %q, by textproto as %q", block, fields.Header, want)
		}
		if rest, _ := io.ReadAll(r); len(rest) > 0 {
			t.Fatalf("accepted %q, of which textproto leaves %q", block, rest)
		}
		if head := "x\r\n" + block; End([]byte(head), 0) != len(head) {
			t.Fatalf("%q ends at %d", head, End([]byte(head), 0))
		}
	})
}

func BenchmarkParse(b *testing.B) {
	block := "Server: nginx/1.22.1\r\nDate: Thu, 26 Nov 2026 10:23:17 GMT\r\nContent-Type: application/octet-stream\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\r\n"
	b.Run("reused", func(b *testing.B) {
		var f Fields
		b.ReportAllocs()
		for b.Loop() {
			f.Reset()
			_ = f.Parse(block, 100)
		}
	})
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = (&Fields{}).Parse(block, 100)
		}
	})
	b.Run("textproto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = textproto.NewReader(bufio.NewReaderSize(strings.NewReader(block), 512)).ReadMIMEHeader()
		}
	})
}
