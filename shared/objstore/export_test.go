package objstore

// WithPageSize returns the store with listings in pages of n.
func WithPageSize(s *Store, n int32) *Store {
	c := *s
	c.pageSize = n
	return &c
}
