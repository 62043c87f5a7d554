package lib;

/** Placeholder: the reader of .env files is on its way. */
final class EnvFile {}
