package host

// filesGuarantees are the guarantees 10 to 13.
func filesGuarantees() []guarantee {
	return nil
}
