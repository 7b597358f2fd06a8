package host

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

// nginxQuota has a place for the folder, the rate and what bounds a request.
const nginxQuota = `limit_req_zone $binary_remote_addr zone=quota:1m rate=%[2]dr/s;
  server {
    listen ADDR ssl;
    ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
    root %[1]s/www;
    location / { %[3]s }
  }`

// nginx starts a real nginx with TLS that allows rate requests a second (0: any
// number), and returns its URL and the file of its certificate.
func nginx(t *testing.T, rate int) (url, ca string) {
	t.Helper()
	dir := t.TempDir()
	ca = writeCertificate(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "www", "index.html"), []byte("from nginx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	quota := ""
	if rate > 0 {
		quota = "limit_req zone=quota burst=2 nodelay; limit_req_status 429;"
	}
	return "https://" + testkit.Nginx(t, dir, fmt.Sprintf(nginxQuota, dir, max(rate, 1), quota)), ca
}

func writeCertificate(t *testing.T, dir string) (certFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gaia test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile = filepath.Join(dir, "cert.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, filepath.Join(dir, "key.pem"): {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile
}

// A test's process that is killed takes its nginx with it.
func TestNginxEndsWithAKilledTest(t *testing.T) {
	const env = "HOST_TEST_NGINX"
	if os.Getenv(env) != "" {
		url, _ := nginx(t, 0)
		fmt.Println(url)
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
		return
	}
	testkit.Program(t, "nginx")
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), env+"=1", "TMPDIR="+t.TempDir())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, found := strings.CutPrefix(strings.TrimSpace(line), "https://")
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil || !found {
		t.Fatalf("the test says %q, %v", line, err)
	}
	testkit.Until(t, "nothing is left of nginx", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}

// hammer sends n requests from c clients and counts the answers by status.
func hammer(t *testing.T, client *http.Client, url string, c, n int) map[int]int {
	t.Helper()
	var mu sync.Mutex
	counts := map[int]int{}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range c {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				code := 0
				if res, err := client.Get(url); err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
					if err == nil {
						code = res.StatusCode
					}
				}
				mu.Lock()
				counts[code]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return counts
}

// A client whose base URL is gaia sees waits where nginx alone would answer 429, and
// an edit of the policy changes that while traffic flows.
func TestWaitsInsteadOf429AgainstNginx(t *testing.T) {
	url, ca := nginx(t, 20)
	direct := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 8}}
	if alone := hammer(t, direct, url+"/", 8, 60); alone[429] == 0 {
		t.Fatalf("nginx alone must refuse some: %v", alone)
	}
	direct.CloseIdleConnections()

	const paced = `
import { limiter } from "gaia";
const l = limiter.tokenBucket("nginx", { rate: 18, burst: 1, maxWait: "20s" });
export function onRequest() { return l.admit(); }
export function onResponse(req, res) { l.learn(res); }
`
	th := run(t, map[string]string{"p.js": paced}, "routes.web.url="+url, "api.ca_file="+ca)
	<-time.After(time.Second) // let nginx's own bucket drain
	if got := hammer(t, th.client, "http://"+th.Addr()+"/web/", 8, 60); got[200] != 60 {
		t.Errorf("through gaia: %v, want 60 of 200", got)
	}

	th.save("p.js", `import { deny } from "gaia"; export function onRequest() { return deny(503, { retryAfter: "3s", reason: "closed" }); }`)
	began := time.Now()
	if ev := th.reloaded(); ev.Err != nil {
		t.Fatal(ev.Err)
	}
	if code, h, body := th.get("/web/"); code != 503 || h.Get("Retry-After") != "3" {
		t.Errorf("after the edit: %d %v %s", code, h, body)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the edit took %v", took)
	}
}
