package host

// browserGuarantees are the guarantees 14 to 17.
func browserGuarantees() []guarantee {
	return nil
}
