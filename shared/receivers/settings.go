package receivers

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/wecomvault/wecomvault/shared/report"
)

// Settings is what a company decides about its reports. The zero value is a company that never decided anything: every report is on.
type Settings struct {
	Operations string                 `json:"operations,omitempty"` // who watches the daily reports: R3, R4, R5, R7, R12
	Control    string                 `json:"control,omitempty"`    // gets copies of R2, R6, R7, R8, unless there is
	Alert      string                 `json:"alert,omitempty"`      // the central mailbox for alerts, which gets them instead
	Language   string                 `json:"language,omitempty"`   // of who has none of their own: "zh" (the default) or "en"
	Service    Service                `json:"service,omitzero"`
	Switches   map[report.Kind]Switch `json:"switches,omitempty"`
	Rev        int                    `json:"-"`
}

// Service is what the company bought from WeCom for chat archiving. No API of WeCom's tells it: it is entered.
type Service struct {
	Edition string    `json:"edition,omitempty"` // as WeCom's order names it
	Seats   int       `json:"seats,omitempty"`   // 0: not entered
	Start   time.Time `json:"start,omitzero"`    // the first day, at 00:00 UTC; zero: not entered
	End     time.Time `json:"end,omitzero"`      // the last day; zero: not entered
}

// mostSeats is more than any company has members, and fewer than a slip of the finger gives.
const mostSeats = 10_000_000

// Day is a date as it is entered: YYYY-MM-DD, "" for none.
func Day(date string) (time.Time, error) {
	if date == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, date)
	if err != nil || day.Year() < 2000 || day.Year() > 2999 {
		return time.Time{}, fmt.Errorf("a date is YYYY-MM-DD, between 2000-01-01 and 2999-12-31")
	}
	return day, nil
}

func (s Service) checked(r *Refusal) Service {
	s.Edition = report.CleanName(s.Edition)
	if utf8.RuneCountInString(s.Edition) > 60 {
		r.add("service.edition", "it is longer than 60 characters", "enter the edition's name alone")
	}
	if s.Seats < 0 || s.Seats > mostSeats {
		r.add("service.seats", "it is no number of seats", "enter a whole number, 0 for unknown")
	}
	if !s.End.IsZero() && s.End.Before(s.Start) {
		r.add("service.end", "the service would end before it starts", "enter the last day of the service")
	}
	return s
}

// Switch is what was decided about one report, by whom and when.
type Switch struct {
	Off     bool      `json:"off,omitempty"`
	Silent  *bool     `json:"silent,omitempty"` // nothing is mailed on a day without news; nil: the report's default
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Since   time.Time `json:"since,omitzero"`     // when it was last switched on or off
	SinceBy string    `json:"since_by,omitempty"` // who did
}

// Switched is who last switched a report on or off, and when; "" and zero: nobody ever did. What was decided since about days without news is not that.
func (w Switch) Switched() (by string, at time.Time) {
	if w.SinceBy == "" && w.At.Equal(w.Since) {
		return w.By, w.Since // of a row that is older than SinceBy
	}
	return w.SinceBy, w.Since
}

// On says whether a report is made at noon. An account admin's urgent alerts can't be switched off.
func (s Settings) On(k report.Kind) bool { return !s.Switches[k].Off }

// OnFor says whether the report of a noon is made: it is on, and was so at that noon or was switched on again on its day. What was off for longer stays
// unsaid: nobody who switches a report on asks for those of the days before.
func (s Settings) OnFor(k report.Kind, noon time.Time) bool {
	w := s.Switches[k]
	return !w.Off && (!w.Since.After(noon) || w.Since.UTC().Format(time.DateOnly) == noon.UTC().Format(time.DateOnly))
}

// Silent says whether a receiver for whom there is no news gets no mail of a report.
func (s Settings) Silent(k report.Kind) bool {
	if silent := s.Switches[k].Silent; silent != nil {
		return *silent
	}
	return SilentByDefault(k)
}

// SilentByDefault says which reports stay silent on a day without news: those about single users and groups. Those that tell of a state always say so.
func SilentByDefault(k report.Kind) bool {
	return !slices.Contains([]report.Kind{report.UserStatus, report.Maintenance, report.Coverage}, k)
}

// CopyTo is the mailbox that gets copies; "" if there is none.
func (s Settings) CopyTo() string {
	if s.Alert != "" {
		return s.Alert
	}
	return s.Control
}

// Turned is the settings with a report switched. One that is so already keeps who switched it and when.
func (s Settings) Turned(k report.Kind, off bool, by string, at time.Time) Settings {
	if s.Switches[k].Off == off {
		return s
	}
	return s.with(k, func(w *Switch) {
		if w.Off != off {
			w.Since, w.SinceBy = at, by
		}
		w.Off, w.By, w.At = off, by, at
	})
}

// Quietened is the settings with a report silent, or not, on a day without news.
func (s Settings) Quietened(k report.Kind, silent bool, by string, at time.Time) Settings {
	return s.with(k, func(w *Switch) { w.Silent, w.By, w.At = &silent, by, at })
}

func (s Settings) with(k report.Kind, change func(*Switch)) Settings {
	switches := map[report.Kind]Switch{}
	for kind, w := range s.Switches {
		switches[kind] = w
	}
	w := switches[k]
	change(&w)
	switches[k] = w
	s.Switches = switches
	return s
}

// Checked is the settings in the form in which they are kept, or a Refusal.
func (s Settings) Checked() (Settings, error) {
	var r Refusal
	for _, f := range []struct {
		name    string
		address *string
	}{{"operations", &s.Operations}, {"control", &s.Control}, {"alert", &s.Alert}} {
		if *f.address != "" {
			*f.address = r.address(f.name, *f.address)
		}
	}
	if s.Language != "" {
		s.Language = r.language("language", s.Language)
	}
	s.Service = s.Service.checked(&r)
	for k := range s.Switches {
		if !slices.Contains(report.Kinds(), k) {
			r.add("switches", "there is no such report", "choose among "+kindList())
		}
	}
	return s, r.err()
}

// Text is the settings as they are stored.
func (s Settings) Text() (string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("write settings: %w", err)
	}
	return string(b), nil
}

// ParseSettings reads what Text wrote; "" is a company that never decided anything.
func ParseSettings(text string) (Settings, error) {
	var s Settings
	if text == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("the settings of a company can't be read")
	}
	return s, nil
}
