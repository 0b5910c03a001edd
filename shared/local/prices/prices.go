// Package prices is the price list of AWS, as far as the product uses what is on it: prices.json, read and checked, and what a use of so many
// units costs by it. It must not know a price that is not in the file, nor what was used.
package prices

import (
	_ "embed" // the price list
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

//go:embed prices.json
var file []byte

// Table is the list. Its regions are those that every price is known in.
type Table struct {
	AsOf    string            `json:"as_of"`
	Regions []string          `json:"regions"`
	Sources map[string]string `json:"sources"`
	Prices  []Price           `json:"prices"`
}

// Price is what so many of a unit cost, by region.
type Price struct {
	ID   string
	Per  float64
	Unit string
	In   map[string]Quote
}

// Quote is a price in one region and where it was read; a quote without a source is stated and not verified.
type Quote struct {
	USD    float64 `json:"usd"`
	Source string  `json:"source"`
}

// UnmarshalJSON reads the regions beside the price's own fields.
func (p *Price) UnmarshalJSON(text []byte) error {
	var own struct {
		ID   string  `json:"id"`
		Per  float64 `json:"per"`
		Unit string  `json:"unit"`
	}
	var all map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &own), json.Unmarshal(text, &all)); err != nil {
		return err
	}
	*p = Price{ID: own.ID, Per: own.Per, Unit: own.Unit, In: map[string]Quote{}}
	for name, raw := range all {
		if slices.Contains([]string{"id", "per", "unit"}, name) {
			continue
		}
		var q Quote
		if err := json.Unmarshal(raw, &q); err != nil {
			return fmt.Errorf("price %s in %s: %w", own.ID, name, err)
		}
		p.In[name] = q
	}
	return nil
}

// List reads the list that is built in.
func List() (Table, error) { return parse(file) }

func parse(text []byte) (Table, error) {
	var t Table
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

// Of finds a price by its id.
func (t Table) Of(id string) (Price, bool) {
	i := slices.IndexFunc(t.Prices, func(p Price) bool { return p.ID == id })
	if i < 0 {
		return Price{}, false
	}
	return t.Prices[i], true
}

// Dollars prices a use, by the prices' ids and in their units, in one of the table's regions. A use without a price is an error: nothing may be
// left off a bill silently.
func (t Table) Dollars(region string, used map[string]float64) (float64, error) {
	sum := 0.0
	for id, n := range used {
		p, ok := t.Of(id)
		if _, quoted := p.In[region]; !ok || !quoted {
			return 0, fmt.Errorf("%s has no price in %s", id, region)
		}
		sum += n / p.Per * p.In[region].USD
	}
	return sum, nil
}

// Unverified lists what is priced by a quote without a source, by id.
func (t Table) Unverified(region string) []string {
	var ids []string
	for _, p := range t.Prices {
		if p.In[region].Source == "" {
			ids = append(ids, p.ID)
		}
	}
	return ids
}
