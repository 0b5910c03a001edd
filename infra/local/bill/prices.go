package main

// usage is how much of what AWS bills was used, by the ids of the price list, in its units.
type usage map[string]float64

func (u usage) add(o usage, times float64) {
	for id, n := range o {
		u[id] += n * times
	}
}
