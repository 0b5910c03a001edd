// Package config fills a struct from the environment and reports everything that is missing or malformed at once, so that one look at
// the log is enough to mend a deployment. It owns no setting itself: each function's struct and its field comments are the documentation.
package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Fill sets the fields of the struct that into points to. A field's tag `env:"NAME"` names its variable; `default:"value"` is used when the
// variable is unset or empty, and `optional:"true"` lets it stay the zero value; any other unset variable is an error. Field types:
// string, bool, int, time.Duration. lookup is os.Getenv in programs.
func Fill(into any, lookup func(string) string) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("config: %T is no pointer to a struct", into)
	}
	v = v.Elem()
	var problems []error
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name := field.Tag.Get("env")
		if name == "" {
			continue
		}
		text := lookup(name)
		if text == "" {
			text = field.Tag.Get("default")
		}
		if text == "" {
			if field.Tag.Get("optional") != "true" {
				problems = append(problems, fmt.Errorf("%s is not set", name))
			}
			continue
		}
		if err := set(v.Field(i), text); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(problems...)
}

func set(field reflect.Value, text string) error {
	switch field.Interface().(type) {
	case string:
		field.SetString(text)
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		field.SetBool(b)
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		field.SetInt(int64(n))
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is no duration such as 5s or 120h", text)
		}
		field.SetInt(int64(d))
	default:
		return fmt.Errorf("a field of type %s can't be filled", field.Type())
	}
	return nil
}
