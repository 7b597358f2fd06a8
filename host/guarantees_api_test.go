package host

// apiGuarantees are the guarantees 1 to 9.
func apiGuarantees() []guarantee {
	return nil
}
