package wecomsim

type demoState struct {
	Day  int `json:"day"`
	Step int `json:"step"`
}

func (s *Sim) routeDemo() {}
