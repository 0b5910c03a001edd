package main

import (
	_ "embed" // the price table
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

//go:embed prices.json
var priceFile []byte

// usage is how much of what AWS bills was used, by the ids of prices.json, in its units.
type usage map[string]float64

func (u usage) add(o usage, times float64) {
	for id, n := range o {
		u[id] += n * times
	}
}

// prices is the table of prices.json.
type prices struct {
	AsOf    string            `json:"as_of"`
	Regions []string          `json:"regions"`
	Sources map[string]string `json:"sources"`
	Prices  []price           `json:"prices"`
}

// price is what so many of a unit cost, by region.
type price struct {
	ID   string
	Per  float64
	Unit string
	In   map[string]quote
}

// quote is a price in one region and where it was read; a quote without a source is stated and not verified.
type quote struct {
	USD    float64 `json:"usd"`
	Source string  `json:"source"`
}

// UnmarshalJSON reads the regions beside the price's own fields.
func (p *price) UnmarshalJSON(text []byte) error {
	var own struct {
		ID   string  `json:"id"`
		Per  float64 `json:"per"`
		Unit string  `json:"unit"`
	}
	var all map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &own), json.Unmarshal(text, &all)); err != nil {
		return err
	}
	*p = price{ID: own.ID, Per: own.Per, Unit: own.Unit, In: map[string]quote{}}
	for name, raw := range all {
		if slices.Contains([]string{"id", "per", "unit"}, name) {
			continue
		}
		var q quote
		if err := json.Unmarshal(raw, &q); err != nil {
			return fmt.Errorf("price %s in %s: %w", own.ID, name, err)
		}
		p.In[name] = q
	}
	return nil
}

func readPrices(text []byte) (prices, error) {
	var t prices
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("read the prices: %w", err)
	}
	for _, p := range t.Prices {
		for _, region := range t.Regions {
			q, ok := p.In[region]
			if _, known := t.Sources[q.Source]; !ok || p.Per <= 0 || q.USD <= 0 || q.Source != "" && !known {
				return t, fmt.Errorf("the price of %s in %s is missing, not above zero, or of an unknown source", p.ID, region)
			}
		}
	}
	return t, nil
}

func (t prices) of(id string) (price, bool) {
	i := slices.IndexFunc(t.Prices, func(p price) bool { return p.ID == id })
	if i < 0 {
		return price{}, false
	}
	return t.Prices[i], true
}

// dollars prices usage in a region. A use without a price is an error: nothing may be left off a bill silently.
func (t prices) dollars(region string, u usage) (float64, error) {
	sum := 0.0
	for id, n := range u {
		p, ok := t.of(id)
		if !ok {
			return 0, fmt.Errorf("%s has no price", id)
		}
		sum += n / p.Per * p.In[region].USD
	}
	return sum, nil
}

// unverified lists what is priced by a quote without a source, by id.
func (t prices) unverified(region string) []string {
	var ids []string
	for _, p := range t.Prices {
		if p.In[region].Source == "" {
			ids = append(ids, p.ID)
		}
	}
	return ids
}
