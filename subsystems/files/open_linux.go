package files

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// openBeneath opens a regular file for reading in one call, in which the kernel keeps the path
// within the root. It reports false where the system cannot do that, or not
// just now: then os.Root, which takes a call for each folder, is to be asked.
func (r *root) openBeneath(name string) (o opened, err error, ok bool) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(int(r.at.Fd()), name, &how)
	switch err {
	case nil:
	case unix.EXDEV:
		return o, errLeadsOut, true
	case unix.ENOENT, unix.EACCES, unix.ENOTDIR, unix.EMFILE, unix.ENFILE, unix.ENXIO:
		return o, mend(&fs.PathError{Op: "open", Path: name, Err: err}), true
	default: // ENOSYS and EPERM of sandboxes, EAGAIN of a race, EINTR
		return o, nil, false
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return o, err, true
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return o, nil, false // os.Root refuses it, and says what it is
	}
	return opened{fd: fd, size: st.Size, mode: fs.FileMode(st.Mode & 0o777), modified: time.Unix(st.Mtim.Unix())}, nil, true
}
