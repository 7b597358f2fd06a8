package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Program is the path of a program that a test needs, in PATH or /usr/sbin. Where it is
// not installed the test is skipped by name, and fails in CI.
func Program(t testing.TB, name string) string {
	t.Helper()
	for _, file := range []string{name, filepath.Join("/usr/sbin", name)} {
		if path, err := exec.LookPath(file); err == nil {
			return path
		}
	}
	Missing(t, "%s is not installed; make deps installs it", name)
	return ""
}

// StartServer starts a server, which the signal stop ends with the test, or with this
// process, however that ends. ended is closed when it has. cmd belongs to StartServer.
func StartServer(t testing.TB, cmd *exec.Cmd, stop syscall.Signal) (ended <-chan struct{}) {
	t.Helper()
	endWithUs(cmd, stop)
	started, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		runtime.LockOSThread() // the signal comes when the thread that started it ends
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is stopped by a signal
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(stop)
		<-over
	})
	return over
}

// nginxConf has a place for the folder, the user and what stands in the http block.
const nginxConf = `daemon off; pid %[1]s/nginx.pid; error_log %[1]s/error.log warn; worker_processes 1; %[2]s
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  %[3]s
}
`

// Nginx starts a real nginx that keeps its files in dir, and returns the address it
// listens on. http is its http block, in which ADDR stands for that address.
func Nginx(t testing.TB, dir, http string) (addr string) {
	t.Helper()
	program, user := Program(t, "nginx"), ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	addr = FreeAddr(t)
	conf, log := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "start.log")
	text := fmt.Appendf(nil, nginxConf, dir, user, strings.ReplaceAll(http, "ADDR", addr))
	if err := os.WriteFile(conf, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := StartServer(t, exec.Command(program, "-c", conf, "-e", log), syscall.SIGTERM)
	Until(t, "nginx listens", func() bool {
		select {
		case <-ended:
			said, _ := os.ReadFile(log)
			t.Fatalf("nginx did not start: %s", said)
		default:
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return addr
}
