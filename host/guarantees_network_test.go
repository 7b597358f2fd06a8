package host

// networkGuarantees are the guarantees 23 to 25.
func networkGuarantees() []guarantee {
	return nil
}
