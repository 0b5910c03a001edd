// Package wecomsim is a simulated WeCom.
package wecomsim
