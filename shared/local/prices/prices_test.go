package prices

import (
	"math"
	"strings"
	"testing"
)

func TestAPriceNeedsAValueAndAKnownSource(t *testing.T) {
	for name, change := range map[string][2]string{
		"a price of zero":   {`"usd": 0.71`, `"usd": 0`},
		"an unknown source": {`"source": "airbyte"`, `"source": "a friend"`},
		"a region missing":  {`"regions": ["us-east-1", `, `"regions": ["us-east-1", "eu-west-9", `},
	} {
		text := strings.Replace(string(file), change[0], change[1], 1)
		if text == string(file) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestAUseCostsItsUnits(t *testing.T) {
	table, err := List()
	if err != nil {
		t.Fatal(err)
	}
	hours, ok := table.Of("nat.hour")
	writes, known := table.Of("ddb.write")
	if !ok || !known {
		t.Fatal("a price is missing")
	}
	const region = "us-east-1"
	got, err := table.Dollars(region, map[string]float64{"nat.hour": 3, "ddb.write": 5e5})
	if want := 3*hours.In[region].USD + writes.In[region].USD*5e5/writes.Per; err != nil || math.Abs(got-want) > 1e-12 {
		t.Errorf("it costs %v, %v, want %v", got, err, want)
	}
	for _, c := range []struct{ region, id string }{{region, "moon.dust"}, {"moon-west-1", "nat.hour"}} {
		if _, err := table.Dollars(c.region, map[string]float64{c.id: 1}); err == nil {
			t.Errorf("%s in %s has no price and was left off the bill", c.id, c.region)
		}
	}
}
