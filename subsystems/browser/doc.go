// Package browser opens pages for others in real browsers, under policy: a pool
// of Chromium processes, each tab admitted by subsystems/admission.
//
// Pool.Do is one job: it holds the job until it may go, opens a tab, loads the
// page, takes what was asked for (a screenshot, a PDF, the HTML, a value,
// cookies) and closes the tab. Pool.Open leases a tab to one caller until a
// deadline. A browser is launched when the first tab needs it; a process that
// crashes, hangs, grows or gets old is replaced, and whoever held a tab of it
// is told.
//
// The Chrome DevTools Protocol is spoken over two pipes, so that no browser
// listens on a port. Processes are started by a Launcher.
//
// As root, Chromium's own sandbox does not work and is switched off: what then
// keeps a hostile page in is the system around gaia. Run gaia as another user
// where pages are not trusted.
//
// The package is not a test framework: it has no selectors and clicks nothing.
// A script given to a job does that.
package browser
