package host

// ConfigError marks an error as one of configuration or policies: a command ends
// with exit code 3.
type ConfigError struct{ Err error }

// Error returns the text of the cause.
func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// ExitCode returns 3.
func (e *ConfigError) ExitCode() int { return 3 }
