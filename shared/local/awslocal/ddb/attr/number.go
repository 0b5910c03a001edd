package attr

import (
	"strings"
)

// decimal is a number as 0.d1d2d3… × 10^exp: no leading and no trailing zero among the digits. Zero has no digits.
type decimal struct {
	negative bool
	digits   string
	exp      int
}

const (
	maxDigits = 38
	// The magnitude of a number other than zero lies between 1E-130 and 9.99…E+125, in the notation above 0.1E-129 and 0.99…E+126.
	minExp = -129
	maxExp = 126
)

// ParseNumber reads a number as DynamoDB does and returns its canonical form: plain digits, no exponent, no needless zeros.
func ParseNumber(s string) (string, error) {
	d, err := parseDecimal(s)
	if err != nil {
		return "", err
	}
	return d.String(), nil
}

func parseDecimal(s string) (decimal, error) {
	bad := func() (decimal, error) {
		if s == "" {
			return decimal{}, invalid("The parameter cannot be converted to a numeric value")
		}
		return decimal{}, invalid("The parameter cannot be converted to a numeric value: %s", s)
	}
	var d decimal
	rest := s
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		d.negative = rest[0] == '-'
		rest = rest[1:]
	}
	whole, rest := leadingDigits(rest)
	fraction := ""
	if rest != "" && rest[0] == '.' {
		fraction, rest = leadingDigits(rest[1:])
	}
	if whole == "" && fraction == "" {
		return bad()
	}
	exp := 0
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		rest = rest[1:]
		sign := 1
		if rest != "" && (rest[0] == '-' || rest[0] == '+') {
			if rest[0] == '-' {
				sign = -1
			}
			rest = rest[1:]
		}
		var ds string
		ds, rest = leadingDigits(rest)
		if ds == "" {
			return bad()
		}
		for i := 0; i < len(ds); i++ {
			// Beyond this bound every number is out of range anyway, unless it is zero.
			if exp < 1_000_000 {
				exp = exp*10 + int(ds[i]-'0')
			}
		}
		exp *= sign
	}
	if rest != "" {
		return bad()
	}
	all := whole + fraction
	digits := strings.TrimLeft(all, "0")
	exp += len(whole) - (len(all) - len(digits))
	digits = strings.TrimRight(digits, "0")
	if digits == "" {
		return decimal{}, nil
	}
	switch {
	case exp > maxExp:
		return decimal{}, invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case exp < minExp:
		return decimal{}, invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	case len(digits) > maxDigits:
		return decimal{}, invalid("Attempting to store more than 38 significant digits in a Number")
	}
	d.digits, d.exp = digits, exp
	return d, nil
}

func leadingDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

// String writes the canonical form.
func (d decimal) String() string {
	if d.digits == "" {
		return "0"
	}
	var b strings.Builder
	if d.negative {
		b.WriteByte('-')
	}
	switch {
	case d.exp <= 0:
		b.WriteString("0.")
		b.WriteString(strings.Repeat("0", -d.exp))
		b.WriteString(d.digits)
	case d.exp >= len(d.digits):
		b.WriteString(d.digits)
		b.WriteString(strings.Repeat("0", d.exp-len(d.digits)))
	default:
		b.WriteString(d.digits[:d.exp])
		b.WriteByte('.')
		b.WriteString(d.digits[d.exp:])
	}
	return b.String()
}

// canonical reads a number that this package wrote.
func canonical(s string) decimal {
	d, err := parseDecimal(s)
	if err != nil {
		// Only ParseNumber and Add make numbers, and both checked this one.
		panic("attr: number " + s + " was not canonical")
	}
	return d
}

func compareNumbers(a, b string) int {
	if a == b {
		return 0
	}
	return canonical(a).compare(canonical(b))
}

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	default:
		return 1
	}
}

func (d decimal) compare(o decimal) int {
	if d.sign() != o.sign() {
		if d.sign() < o.sign() {
			return -1
		}
		return 1
	}
	var c int
	switch {
	case d.exp < o.exp:
		c = -1
	case d.exp > o.exp:
		c = 1
	default:
		c = strings.Compare(d.digits, o.digits)
	}
	return c * d.sign()
}

// Add returns a + b, exactly; Subtract is Add of the negated number. A sum that needs more than 38 digits is refused, as AWS does.
func Add(a, b string) (string, error) { return sum(canonical(a), canonical(b)) }

// Subtract returns a - b, exactly.
func Subtract(a, b string) (string, error) {
	d := canonical(b)
	d.negative = !d.negative
	return sum(canonical(a), d)
}

func sum(a, b decimal) (string, error) {
	if a.digits == "" {
		a, b = b, a
	}
	if b.digits == "" {
		return a.String(), nil
	}
	// Lay both out over the same columns: at most 255 of them.
	top := max(a.exp, b.exp)
	bottom := min(a.exp-len(a.digits), b.exp-len(b.digits))
	x, y := a.columns(top, bottom), b.columns(top, bottom)
	negative := a.negative
	out := make([]byte, len(x)+1)
	if a.negative == b.negative {
		carry := 0
		for i := len(x) - 1; i >= 0; i-- {
			s := x[i] + y[i] + carry
			out[i+1] = byte('0' + s%10)
			carry = s / 10
		}
		out[0] = byte('0' + carry)
	} else {
		if lessColumns(x, y) {
			x, y = y, x
			negative = b.negative
		}
		borrow := 0
		for i := len(x) - 1; i >= 0; i-- {
			s := x[i] - y[i] - borrow
			borrow = 0
			if s < 0 {
				s += 10
				borrow = 1
			}
			out[i+1] = byte('0' + s)
		}
		out[0] = '0'
	}
	digits := strings.TrimLeft(string(out), "0")
	d := decimal{negative: negative, exp: top + 1 - (len(out) - len(digits)), digits: strings.TrimRight(digits, "0")}
	if d.digits == "" {
		return "0", nil
	}
	return ParseNumber(d.String())
}

func (d decimal) columns(top, bottom int) []int {
	out := make([]int, top-bottom)
	for i := 0; i < len(d.digits); i++ {
		out[top-d.exp+i] = int(d.digits[i] - '0')
	}
	return out
}

func lessColumns(x, y []int) bool {
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

// numberSize follows AWS's rule of thumb: a byte, and a byte for every two significant digits; a sign costs one more.
// QUIRK: the pairs of digits are counted from the decimal point, as AWS's own DynamoDB Local shows: 15 is one pair, 1.5 and 150 are two.
func numberSize(s string) int {
	d := canonical(s)
	n := 1
	if d.digits != "" {
		n += (d.exp-1)>>1 - (d.exp-len(d.digits))>>1 + 1
	}
	if d.negative {
		n++
	}
	return n
}

// appendNumberKey writes sign, exponent and digits so that the bytes sort by value: all but the sign inverted for negative numbers.
func appendNumberKey(dst []byte, s string) []byte {
	d := canonical(s)
	if d.digits == "" {
		return append(dst, 2)
	}
	start := len(dst) + 1
	biased := d.exp + 1000
	dst = append(dst, 3, byte(biased>>8), byte(biased&0xFF)) // #nosec G115 -- between 871 and 1126
	dst = append(dst, d.digits...)
	dst = append(dst, 0)
	if d.negative {
		dst[start-1] = 1
		for i := start; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	return dst
}
