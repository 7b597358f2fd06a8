package work

// Catalog lists what can be asked of every subsystem, for the client's commands:
// the declarations without the subsystems behind them. A new subsystem adds its
// line, in the order of policy.Subsystems.
func Catalog() []Subsystem {
	return []Subsystem{
		API(APIConfig{}),
		Files(nil),
		Browser(BrowserConfig{}),
		Process(ProcessConfig{}),
		Network(NetworkConfig{}),
	}
}
