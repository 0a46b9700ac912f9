//! `flag_set!`: a struct of typed flags and the table of their definitions, from one text.
//! Must not know how values are found: it asks `Values` for the text of each.

/// ```text
/// flag_set! {
///     /// What the thing is told.
///     pub struct ThingFlags {
///         include logging: LoggingFlags;      // another set, as a field
///         "Group of help" {
///             field as "flag_name": Type = "default", alias "old_name", check function, not_yet "why" => "Help.";
///         }
///     }
/// }
/// ```
/// Everything after the type may be left out, but keeps this order: `= default`, `alias`, `check`,
/// then one of `not_yet`, `no_effect`, `not_needed`, `refused`, then `only_with`.
/// A type that is no `Option` and has no default makes the flag required.
macro_rules! flag_set {
    (
        $(#[$doc:meta])*
        pub struct $set:ident {
            $(include $part:ident: $part_type:ty;)*
            $($group:literal {
                $(
                    $field:ident $(as $name:literal)?: $type:ty $(= $default:literal)?
                    $(, alias $alias:literal)? $(, check $check:path)?
                    $(, not_yet $not_yet:literal)? $(, no_effect $no_effect:literal)?
                    $(, not_needed $not_needed:literal)? $(, refused $refused:literal)?
                    $(, only_with $only_with:literal)?
                    => $help:literal;
                )*
            })*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $set {
            $(pub $part: $part_type,)*
            $($(#[doc = $help] pub $field: $type,)*)*
            /// Which flags were given, and under which name.
            pub given: $crate::parse::Given,
        }

        impl $set {
            /// The definitions of this set's own flags.
            pub const TABLE: &'static [$crate::definition::Flag] = &[$($(
                $crate::definition::Flag {
                    name: flag_set!(@name $field $($name)?),
                    alias: flag_set!(@option $($alias)?),
                    group: $group,
                    kind: <$type as $crate::value::FlagValue>::KIND,
                    default: flag_set!(@option $($default)?),
                    required: !<$type as $crate::value::FlagValue>::OPTIONAL
                        && flag_set!(@none $($default)?),
                    help: $help,
                    status: flag_set!(@status
                        $(not_yet $not_yet)? $(no_effect $no_effect)? $(not_needed $not_needed)? $(refused $refused)?
                    ),
                    only_with: flag_set!(@option $($only_with)?),
                    check: flag_set!(@option $($check)?),
                    reads: |text| <$type as $crate::value::FlagValue>::read(text).map(|value| $crate::value::FlagValue::show(&value)),
                },
            )*)*];
        }

        impl $crate::definition::FlagSet for $set {
            fn collect(tables: &mut Vec<&'static [$crate::definition::Flag]>) {
                $(<$part_type as $crate::definition::FlagSet>::collect(tables);)*
                tables.push(Self::TABLE);
            }

            fn build(values: &$crate::parse::Values) -> Result<Self, $crate::parse::FlagError> {
                Ok($set {
                    $($part: <$part_type as $crate::definition::FlagSet>::build(values)?,)*
                    $($($field: values.typed(flag_set!(@name $field $($name)?))?,)*)*
                    given: values.given(Self::TABLE),
                })
            }

            fn show(&self, shown: &mut Vec<(String, String)>) {
                $($crate::definition::FlagSet::show(&self.$part, shown);)*
                $($(
                    self.given.show(
                        flag_set!(@name $field $($name)?),
                        flag_set!(@some $($only_with)?),
                        $crate::value::FlagValue::show(&self.$field),
                        shown,
                    );
                )*)*
                let _ = shown;
            }
        }

        impl Default for $set {
            /// Every flag at its default, required ones empty.
            fn default() -> $set {
                let values = $crate::parse::Values::defaults(&<$set as $crate::definition::FlagSet>::tables());
                <$set as $crate::definition::FlagSet>::build(&values).expect("every default is of its flag's type")
            }
        }
    };

    (@name $field:ident $name:literal) => { $name };
    (@name $field:ident) => { stringify!($field) };
    (@option) => { None };
    (@option $value:literal) => { Some($value) };
    (@option $value:path) => { Some($value) };
    (@none) => { true };
    (@none $value:literal) => { false };
    (@some) => { false };
    (@some $value:literal) => { true };
    (@status) => { $crate::definition::Status::Works };
    (@status not_yet $why:literal) => { $crate::definition::Status::NotYet($why) };
    (@status no_effect $why:literal) => { $crate::definition::Status::NoEffect($why) };
    (@status not_needed $why:literal) => { $crate::definition::Status::NotNeeded($why) };
    (@status refused $why:literal) => { $crate::definition::Status::Refused($why) };
}

pub(crate) use flag_set;
